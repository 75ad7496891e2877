"""All arms of an evaluation on the splits of a cut: their scores as they are written, block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from rmlab.metrics.accuracy import Drawn, pairs_of
from rmlab.metrics.base import RowNumbers
from rmlab.metrics.streamed_order import StreamedOrder
from rmlab.responses.ids import Ids
from rmlab.responses.table import AT_ONCE, Names, Responses
from rmlab.storage.schemas import HEAD_SCORES


@dataclass(frozen=True)
class ScoredArm:
    """scores: [m] of the responses of a cut; raw: not normalised, so margins are log-odds, of the rows of
    some pairs; None of an arm whose scores are no log-odds."""

    name: str
    kind: str
    scores: RowNumbers
    raw: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class ScoredSplit:
    """What a cut has of a split. order: its prompts; place: [p] theirs among all prompts of the split.

    pairs: first and second rows, first < second; which: [n] of the pairs that are drawn of the whole split.
    """

    name: str
    order: StreamedOrder
    place: np.ndarray
    pairs: tuple[np.ndarray, np.ndarray]
    which: np.ndarray

    @classmethod
    def of(
        cls, name: str, responses: Responses, rows: np.ndarray, place: np.ndarray, drawn: Drawn
    ) -> ScoredSplit:
        order = StreamedOrder(responses.golden, responses.group, rows.astype(np.int32))
        which, here = drawn.among(place)
        return cls(name, order, place, pairs_of(order, here), which)

    @property
    def rows(self) -> np.ndarray:
        return self.order.rows


def score_rows(
    arms: Sequence[ScoredArm], splits: Sequence[ScoredSplit], responses: Responses
) -> Iterator[pa.Table]:
    """Split by split, and arm by arm."""
    for split in splits:
        for arm in arms:
            for start in range(0, len(split.rows), AT_ONCE):
                rows = split.rows[start : start + AT_ONCE]
                columns = {
                    "arm": pa.repeat(arm.name, len(rows)),
                    "prompt_id": _text(responses.prompt_ids, rows),
                    "response_id": _text(responses.ids, rows),
                    "split": pa.repeat(split.name, len(rows)),
                    "score": arm.scores[rows],
                    "golden": responses.golden[rows],
                }
                yield pa.table(columns, schema=HEAD_SCORES.schema)


def _text(column: Ids | Names | np.ndarray, rows: np.ndarray) -> pa.Array:
    return pa.array(column[rows], pa.string()) if isinstance(column, np.ndarray) else column.text(rows)
