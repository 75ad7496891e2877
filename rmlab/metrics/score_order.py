"""The scores of an arm in order, prompt by prompt: sorted once, read by every metric."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rmlab.errors import InputError
from rmlab.metrics.base import Column
from rmlab.metrics.golden_order import GoldenBlock, GoldenOrder
from rmlab.metrics.inversions import inversions
from rmlab.metrics.runs import Runs


@dataclass(frozen=True)
class ScoreBlock:
    """A block of prompts by score, worst first; equal scores by golden reward, worst first.

    order: [b, K] columns of `truth`; scores: [b, K] and runs, their ties, in this order.
    """

    truth: GoldenBlock
    order: np.ndarray
    scores: np.ndarray
    runs: Runs

    def by_score(self, values: np.ndarray) -> np.ndarray:
        """values: [b, K] in golden order -> [b, K] in the order of scores, ties at their mean."""
        return self.runs.mean(np.take_along_axis(values, self.order, 1))

    @cached_property
    def quantile(self) -> np.ndarray:
        """[b, K] golden quantiles in the order of scores."""
        return self.by_score(self.truth.quantile)

    @cached_property
    def tied(self) -> np.ndarray:
        """[b] pairs of equal scores."""
        return self.runs.tied_pairs()

    @property
    def is_constant(self) -> np.ndarray:
        """[b] all scores of the prompt are equal."""
        return np.asarray(self.tied == self.truth.pairs)

    @property
    def has_order(self) -> np.ndarray:
        """[b] some golden rewards of the prompt differ."""
        return np.asarray(self.truth.tied < self.truth.pairs)

    @cached_property
    def discordant(self) -> np.ndarray:
        """[b] pairs that scores and golden rewards put in opposite orders."""
        if self.truth.level is None:
            return inversions(self.order)
        # Equal golden rewards are numbered in the order of the scores, so that they are no inversion.
        return inversions(np.argsort(self._level(self.truth.level), axis=1, kind="stable"))

    @cached_property
    def concordant(self) -> np.ndarray:
        """[b] pairs that scores and golden rewards put in the same order."""
        untied = self.truth.pairs - self.tied - self.truth.tied + self.tied_twice
        return untied - self.discordant

    @cached_property
    def tied_twice(self) -> np.ndarray:
        """[b] pairs with equal scores and equal golden rewards."""
        if self.truth.level is None or not self.runs.any_tied:
            return np.zeros(len(self.order), dtype=np.int64)
        return Runs(self.runs.new | Runs.of(self._level(self.truth.level)).new).tied_pairs()

    def _level(self, level: np.ndarray) -> np.ndarray:
        # 16 bits where they suffice: numpy then sorts by digits
        narrow = level.astype(np.int16) if level.shape[1] < 2**15 else level
        return np.take_along_axis(narrow, self.order, 1)


@dataclass(frozen=True)
class ScoreOrder:
    truth: GoldenOrder
    blocks: tuple[ScoreBlock, ...]

    @classmethod
    def of(cls, scores: np.ndarray, truth: GoldenOrder) -> ScoreOrder:
        """scores: [m], flat as the golden rewards of `truth`."""
        return cls(truth, tuple(score_block(scores, block) for block in truth.blocks))

    def per_prompt(self, measure: Callable[[ScoreBlock], np.ndarray]) -> np.ndarray:
        """measure: block -> [b] or [b, N]; the result is [P] or [P, N], prompts as in np.unique(group)."""
        parts = [(block.truth.prompts, measure(block)) for block in self.blocks]
        if not parts:
            return np.empty(0)
        result = np.full((self.truth.n_prompts, *parts[0][1].shape[1:]), np.nan)
        for prompts, values in parts:
            result[prompts] = values
        return result


def score_block(scores: Column, truth: GoldenBlock) -> ScoreBlock:
    mine = scores[truth.rows]
    if np.isnan(mine).any():
        raise InputError("scores or golden rewards hold NaN: score the responses again")
    order = np.argsort(mine, axis=1, kind="stable")
    mine = np.take_along_axis(mine, order, 1)
    return ScoreBlock(truth, order, mine, Runs.of(mine))
