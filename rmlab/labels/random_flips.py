"""An annotator who errs at the same rate on every comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rmlab.comparisons import Comparisons, Pool
from rmlab.labels.base import answer_pairs, golden_gap, without_ties


@dataclass(frozen=True)
class RandomFlips:
    """The golden order, each answer flipped with probability rate; ties are dropped.

    Count the dropped ties as len(before) - len(after).
    Source: Bukharin et al. 2024 (R3M), the random-flip noise model.
    """

    name: ClassVar[str] = "random_flips"

    rate: float

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise ValueError(f"rate is {self.rate}: use a share in [0, 1]")

    def __call__(self, comparisons: Comparisons, pool: Pool, rng: np.random.Generator) -> Comparisons:
        """Answers for items [n, 2]: the preferred item first, with label_prob, margin, correct, golden."""
        gap = golden_gap(comparisons, pool)
        right = rng.random(len(gap)) >= self.rate
        prob = np.where(right, 1 - self.rate, self.rate)
        return without_ties(answer_pairs(comparisons, pool, gap, right, prob))
