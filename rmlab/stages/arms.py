"""All arms of an evaluation on a split, prompt by prompt: sorted, measured and written a block at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from scipy.special import expit

from rmlab.artifacts.files import write_parquet_pieces
from rmlab.artifacts.schemas import HEAD_SCORES
from rmlab.metrics.base import Column
from rmlab.metrics.best_of_n import default_ns
from rmlab.metrics.golden_order import golden_block
from rmlab.metrics.streamed_order import StreamedOrder, alone
from rmlab.metrics.untied_pairs import untied_pairs
from rmlab.stages.ids import Ids
from rmlab.stages.judging import Judged
from rmlab.stages.measuring import MAX_PAIRS, measured, numbers_of
from rmlab.stages.names import Names
from rmlab.stages.responses import AT_ONCE, Responses


@dataclass(frozen=True)
class Arm:
    """scores: [m] of all responses; raw: not normalised, so margins are log-odds, of the rows of some pairs;
    None of an arm whose scores are no log-odds."""

    name: str
    kind: str
    scores: Column
    raw: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Split:
    """order: its prompts; pairs: rows of all responses, as in `pair_probabilities`."""

    name: str
    order: StreamedOrder
    pairs: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, name: str, everyone: Responses, rows: np.ndarray) -> Split:
        order = StreamedOrder(everyone.golden, everyone.group, rows.astype(np.int32))
        return cls(name, order, untied_pairs(order, MAX_PAIRS, np.random.default_rng(0)))

    @property
    def rows(self) -> np.ndarray:
        return self.order.rows


def judge_arms(
    arms: Sequence[Arm], split: Split, everyone: Responses, lengths: np.ndarray, raw_of: np.ndarray
) -> list[Judged]:
    """As `judge` for each arm. A block of prompts is sorted once for all of them, and then dropped.

    raw_of: the rows, ascending, of which arms have raw scores.
    """
    ns = default_ns(int(split.order.sizes.min()))
    found: dict[str, dict[str, np.ndarray]] = {arm.name: {} for arm in arms}
    for prompts, rows in split.order:
        numbers = np.arange(len(prompts))
        truth = alone(golden_block(everyone.golden, numbers, rows))
        by_length = alone(golden_block(lengths, numbers, rows))
        for arm in arms:
            for name, values in numbers_of(arm.scores, truth, by_length, ns).items():
                if name not in found[arm.name]:
                    found[arm.name][name] = np.empty((len(split.order.sizes), *values.shape[1:]))
                found[arm.name][name][prompts] = values
    first, second = split.pairs
    right = everyone.golden[first] > everyone.golden[second]
    at, other = np.searchsorted(raw_of, first), np.searchsorted(raw_of, second)
    golden = everyone.golden[split.rows]
    judged = []
    for arm in arms:
        odds = None if arm.raw is None or arm.kind != "head" else (expit(arm.raw[at] - arm.raw[other]), right)
        judged.append(Judged(arm.name, arm.kind, split.name, measured(found[arm.name], ns, golden), odds))
    return judged


def write_scores(file: Path, arms: Sequence[Arm], splits: Sequence[Split], everyone: Responses) -> None:
    """Arms in the order in which they are judged, split by split."""
    write_parquet_pieces(file, HEAD_SCORES.schema, _pieces(arms, splits, everyone))


def _pieces(arms: Sequence[Arm], splits: Sequence[Split], everyone: Responses) -> Iterator[pa.Table]:
    for split in splits:
        for arm in arms:
            for start in range(0, len(split.rows), AT_ONCE):
                rows = split.rows[start : start + AT_ONCE]
                columns = {
                    "arm": pa.repeat(arm.name, len(rows)),
                    "prompt_id": _text(everyone.prompt_ids, rows),
                    "response_id": _text(everyone.ids, rows),
                    "split": pa.repeat(split.name, len(rows)),
                    "score": arm.scores[rows],
                    "golden": everyone.golden[rows],
                }
                yield pa.table(columns, schema=HEAD_SCORES.schema)


def _text(column: Ids | Names | np.ndarray, rows: np.ndarray) -> pa.Array:
    return pa.array(column[rows], pa.string()) if isinstance(column, np.ndarray) else column.text(rows)
