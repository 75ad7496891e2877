"""The controls that stand in every table: random, oracle, length, copying, regression on golden scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from rmlab.errors import InputError
from rmlab.metrics.base import RowNumbers
from rmlab.metrics.controlled import STYLE, prompt_overlap, style_of
from rmlab.metrics.streamed_order import StreamedOrder, streamed_spearman
from rmlab.responses.ids import Ids
from rmlab.responses.table import Responses
from rmlab.responses.texts import Exchanges
from rmlab.storage.artifact import Artifact

REGRESSION = "golden_regression"


@dataclass(frozen=True)
class Surface:
    """length: [m] int32 words in each response; overlap: [m] share of them that the prompt had; style:
    [m, len(STYLE)]."""

    length: np.ndarray
    overlap: np.ndarray
    style: np.ndarray


@dataclass(frozen=True, eq=False)
class _Times:
    """A column of another, times a factor."""

    factor: float
    of: np.ndarray

    def __getitem__(self, rows: np.ndarray, /) -> np.ndarray:
        return self.factor * self.of[rows]


@dataclass(frozen=True)
class ShortcutSigns:
    """1 if more goes with a higher golden score within the train prompts, else -1."""

    length: float
    overlap: float

    @classmethod
    def of(cls, by_length: np.ndarray, by_overlap: np.ndarray) -> ShortcutSigns:
        """Correlations with the golden score within each train prompt."""
        return cls(_direction(by_length), _direction(by_overlap))


def control_scores(directions: ShortcutSigns, responses: Responses, looks: Surface) -> dict[str, RowNumbers]:
    """Scores of each control but the regression; length and copying count in the direction that pays."""
    return {
        "random": np.broadcast_to(0.0, len(responses)),
        "oracle": responses.golden,
        "length": _Times(directions.length, looks.length),
        "copying": _Times(directions.overlap, looks.overlap),
    }


def read_surface(prompts: Artifact, sample: Artifact, responses: Responses) -> Surface:
    exchanges = Exchanges(prompts, sample)
    return surface_of(exchanges, range(len(exchanges.rows)), responses, np.ones(len(responses), dtype=bool))


def surface_of(
    exchanges: Exchanges,
    parts: Iterable[int],
    responses: Responses,
    wanted: np.ndarray,
    advance: Callable[[int], None] | None = None,
) -> Surface:
    """Of the wanted responses, which lie in these parts; 0 and NaN of others.

    Texts are read part by part, and none is kept.
    """
    ids = responses.ids if isinstance(responses.ids, Ids) else Ids.of_array(responses.ids)
    length, overlap = np.zeros(len(responses), np.int32), np.full(len(responses), np.nan)
    style = np.zeros((len(responses), len(STYLE)), np.float32)
    for part in parts if wanted.any() else ():
        found = exchanges.read(part)
        if advance is not None:
            advance(len(found))
        rows = ids.find(pa.array([e.response_id for e in found], pa.string()))
        questions: dict[str, str] = {}
        for row, exchange in zip(rows.tolist(), found, strict=True):
            if row < 0 or not wanted[row]:
                continue
            key = exchange.prompt_id
            question = questions.get(key) or " ".join(m["content"] for m in exchange.messages)
            questions[key] = question
            length[row] = len(exchange.response.split())
            overlap[row] = prompt_overlap(question, exchange.response)
            style[row] = style_of(exchange.response)
    if n := int(np.isnan(overlap[wanted]).sum()):
        raise InputError(f"{exchanges.sample.path}: no text for {n} responses; run that stage again")
    return Surface(length, overlap, style)


def directions(responses: Responses, looks: Surface, train: np.ndarray) -> ShortcutSigns:
    """train: rows of the responses to train prompts."""
    order = StreamedOrder(responses.golden, responses.group, train)
    return ShortcutSigns.of(streamed_spearman(looks.length, order), streamed_spearman(looks.overlap, order))


def _direction(correlations: np.ndarray) -> float:
    mean = np.nanmean(correlations) if not np.isnan(correlations).all() else 0.0
    return -1.0 if mean < 0 else 1.0
