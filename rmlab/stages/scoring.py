"""Scores of many heads in one pass over the embeddings, however many there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from rmlab.heads.base import RewardHead
from rmlab.heads.ridge import Ridge
from rmlab.stages.vectors import Vectors


@dataclass(frozen=True)
class Scores:
    """score: [m] rewards; raw: [m] scores as fitted; NaN for rows that were not asked for."""

    score: np.ndarray
    raw: np.ndarray


def score_all(
    heads: Mapping[str, RewardHead], vectors: Vectors, wanted: np.ndarray, advance: Callable[[int], None]
) -> dict[str, Scores]:
    """wanted: [m] bool; each block of embeddings is read once for all heads."""
    found = {name: Scores(*np.full((2, len(wanted)), np.nan)) for name in heads}
    for rows, x in vectors.blocks(wanted):
        for name, head in heads.items():
            found[name].score[rows], found[name].raw[rows] = head.score_and_raw(x)
        advance(len(rows))
    return found


def regression_on_golden(
    vectors: Vectors, golden: np.ndarray, wanted: np.ndarray, advance: Callable[[int], None]
) -> RewardHead:
    """Ridge regression on the golden scores themselves: the ceiling for a linear head."""
    ridge = Ridge()
    for rows, x in vectors.blocks(wanted):
        ridge.add(x, golden[rows])
        advance(len(rows))
    return ridge.fit()
