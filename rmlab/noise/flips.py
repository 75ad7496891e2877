"""Annotators who give wrong answers at random, or where the golden rewards differ most."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from rmlab.comparisons import Comparisons, Pool
from rmlab.noise.base import answer_pairs, golden_gap, without_ties


@dataclass(frozen=True)
class RandomFlips:
    """Answers in the golden order, each flipped with probability `rate`; ties are dropped.

    Count the dropped ties as len(before) - len(after).
    Source: Bukharin et al. 2024 (R3M), the random-flip noise model.
    """

    name: ClassVar[str] = "random_flips"

    rate: float

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise ValueError(f"rate is {self.rate}: use a share in [0, 1]")

    def __call__(self, comparisons: Comparisons, pool: Pool, rng: np.random.Generator) -> Comparisons:
        """Returns answers to pairs, the preferred item first, with label_prob, margin, correct and golden."""
        gap = golden_gap(comparisons, pool)
        right = rng.random(len(gap)) >= self.rate
        prob = np.where(right, 1 - self.rate, self.rate)
        return without_ties(answer_pairs(comparisons, pool, gap, right, prob))


@dataclass(frozen=True)
class LargestMarginFlips:
    """Answers in the golden order, but flips the share `rate` of pairs that have the largest golden gaps.

    Of m pairs without a tie exactly round(rate * m) are flipped; among equal gaps at the boundary they are
    drawn at random. Ties are dropped: count them as len(before) - len(after). label_prob is 1, since the
    answers are otherwise deterministic. from_gap: flips every pair with at least this golden gap instead,
    whatever their share; `settled` sets it.
    Source: Bukharin et al. 2024 (R3M), the irrational noise model.
    """

    name: ClassVar[str] = "largest_margin_flips"

    rate: float
    from_gap: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise ValueError(f"rate is {self.rate}: use a share in [0, 1]")
        if self.from_gap is not None and not self.from_gap > 0:
            raise ValueError(f"from_gap is {self.from_gap}: use a golden gap > 0, or null")

    def __call__(self, comparisons: Comparisons, pool: Pool, rng: np.random.Generator) -> Comparisons:
        """Returns answers to pairs, the preferred item first, with label_prob, margin, correct and golden."""
        gap = golden_gap(comparisons, pool)
        order = np.lexsort((rng.random(len(gap)), -np.abs(gap)))  # ties have gap 0 and come last
        right = np.ones(len(gap), dtype=bool)
        right[order[: self._n_flipped(gap)]] = False
        return without_ties(answer_pairs(comparisons, pool, gap, right, np.ones(len(gap))))

    def settled(self, comparisons: Comparisons, pool: Pool) -> LargestMarginFlips:
        """Returns the annotator with from_gap set to the smallest gap that it flips here."""
        size = np.sort(np.abs(golden_gap(comparisons, pool)))[::-1]
        n = self._n_flipped(size)
        return replace(self, from_gap=float(size[n - 1])) if n else self

    def _n_flipped(self, gap: np.ndarray) -> int:
        """Returns how many of the pairs with the largest gaps are flipped."""
        if self.from_gap is not None:
            return int((np.abs(gap) >= self.from_gap).sum())
        return round(self.rate * np.count_nonzero(gap))
