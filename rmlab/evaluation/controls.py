"""The controls that stand in every table: random, oracle, length, copying, regression on golden scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rmlab.metrics.controlled import STYLE, prompt_overlap, style_of
from rmlab.metrics.order import GoldenOrder, ScoreOrder
from rmlab.metrics.rank_correlation import spearman
from rmlab.responses.table import Responses, rows_by_part
from rmlab.responses.texts import Exchanges
from rmlab.storage.artifact import Artifact

REGRESSION = "golden_regression"


@dataclass(frozen=True)
class Surface:
    """length: [m] int32 words; overlap: [m] share of them that the prompt had; style: [m, len(STYLE)]."""

    length: np.ndarray
    overlap: np.ndarray
    style: np.ndarray


def control_scores(responses: Responses, looks: Surface, fitted: np.ndarray) -> dict[str, np.ndarray]:
    """[m] of each control but the regression. Length and copying count in the direction that pays among the
    responses that heads are fitted on. fitted: rows of these."""
    golden = responses.golden
    truth = GoldenOrder.of(golden[fitted], responses.group[fitted])
    length, copying = (
        _direction(spearman(ScoreOrder.of(of[fitted], truth))) * of for of in (looks.length, looks.overlap)
    )
    return {
        "random": np.broadcast_to(0.0, len(responses)),
        "oracle": golden,
        "length": length,
        "copying": copying,
    }


def _direction(correlations: np.ndarray) -> float:
    """-1 if the correlations of the prompts are negative on average, else 1."""
    mean = np.nanmean(correlations) if not np.isnan(correlations).all() else 0.0
    return -1.0 if mean < 0 else 1.0


def read_surface(
    prompts: Artifact,
    sample: Artifact,
    responses: Responses,
    advance: Callable[[int], None] = lambda rows: None,
) -> Surface:
    """Texts are read part by part, and none is kept."""
    exchanges = Exchanges(prompts, sample)
    length, overlap = np.zeros(len(responses), np.int32), np.full(len(responses), np.nan)
    style = np.zeros((len(responses), len(STYLE)), np.float32)
    for part, rows in enumerate(rows_by_part(responses.ids, sample, f"{sample.path}: no text for")):
        found = exchanges.read(part)
        advance(len(found))
        questions: dict[str, str] = {}
        for row, exchange in zip(rows.tolist(), found, strict=True):
            if row < 0:
                continue
            key = exchange.prompt_id
            question = questions.get(key) or " ".join(m["content"] for m in exchange.messages)
            questions[key] = question
            length[row] = len(exchange.response.split())
            overlap[row] = prompt_overlap(question, exchange.response)
            style[row] = style_of(exchange.response)
    return Surface(length, overlap, style)
