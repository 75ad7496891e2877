"""The golden rewards of a split in order, prompt by prompt: what the metrics of all its arms share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rmlab.errors import InputError
from rmlab.metrics.base import Column, prompt_blocks
from rmlab.metrics.runs import Runs


@dataclass(frozen=True)
class GoldenBlock:
    """Prompts with K responses each; in every array the columns ascend by golden reward.

    prompts: [b] positions in np.unique(group); rows: [b, K] into the flat arrays; golden: [b, K].
    quantile: [b, K] share of the prompt's other responses that are worse, ties half: the mid-rank from
    0 (worst) to 1 (best), mean 1/2; NaN where there is no other.
    level: [b, K] int, number of the distinct value, from 0; None where no two are equal.
    tied: [b] pairs of equal golden rewards; tie_cubes: [b] sum over ties of t^3 - t.
    """

    prompts: np.ndarray
    rows: np.ndarray
    golden: np.ndarray
    quantile: np.ndarray
    level: np.ndarray | None
    tied: np.ndarray
    tie_cubes: np.ndarray

    @property
    def pairs(self) -> int:
        """K (K - 1) / 2."""
        k = self.rows.shape[1]
        return k * (k - 1) // 2


@dataclass(frozen=True)
class GoldenOrder:
    """golden, group: [m] flat; blocks: their prompts; n_prompts: P, prompts as in np.unique(group)."""

    golden: np.ndarray
    group: np.ndarray
    blocks: tuple[GoldenBlock, ...]
    n_prompts: int

    @classmethod
    def of(cls, golden: np.ndarray, group: np.ndarray) -> GoldenOrder:
        blocks = tuple(golden_block(golden, prompts, rows) for prompts, rows in prompt_blocks(group))
        return cls(golden, group, blocks, sum(len(b.prompts) for b in blocks))

    @property
    def fewest(self) -> int:
        """The most responses that every prompt has."""
        return min(block.rows.shape[1] for block in self.blocks)


def golden_block(golden: Column, prompts: np.ndarray, rows: np.ndarray) -> GoldenBlock:
    values = golden[rows]
    if np.isnan(values).any():
        raise InputError("scores or golden rewards hold NaN: score the responses again")
    order = np.argsort(values, axis=1, kind="stable")
    rows = np.take_along_axis(rows, order, 1)
    ordered, k = np.take_along_axis(values, order, 1), rows.shape[1]
    runs = Runs.of(ordered)
    level = np.cumsum(runs.new, axis=1, dtype=np.int32) - 1 if runs.any_tied else None
    rank = np.broadcast_to(np.arange(k, dtype=np.float64), rows.shape)
    quantile = runs.mean(rank) / (k - 1) if k > 1 else np.full(rows.shape, np.nan)
    return GoldenBlock(prompts, rows, ordered, quantile, level, runs.tied_pairs(), runs.tie_cubes())
