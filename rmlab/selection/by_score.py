"""Selection by the head's scores: entropy of the answer, maximum difference; and uniform, without any."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rmlab.selection.base import Candidates, check_budget, check_candidates


@dataclass(frozen=True)
class Uniform:
    """Chooses uniformly at random, without a head: the baseline of the other selectors."""

    name: ClassVar[str] = "uniform"

    needs_head: ClassVar[bool] = False

    def __call__(self, candidates: Candidates, n: int, rng: np.random.Generator) -> np.ndarray:
        check_budget(candidates, n)
        return rng.permutation(len(candidates))[:n]


@dataclass(frozen=True)
class Entropy:
    """Chooses the largest entropy of the answer, H(p) = -p log p - (1-p) log(1-p), p = sigma(margin).

    H decreases strictly with |margin|, so the smallest |margin| is taken, ties at random: H itself is 0 in
    floating point once |margin| exceeds about 750, and would not order those.
    Source: a baseline in Shen, Sun & Ton 2025, "Active Reward Modeling" (arXiv 2502.04354).
    """

    name: ClassVar[str] = "entropy"

    needs_head: ClassVar[bool] = True

    def __call__(self, candidates: Candidates, n: int, rng: np.random.Generator) -> np.ndarray:
        check_candidates(candidates, n)
        return np.lexsort((rng.random(len(candidates)), np.abs(candidates.margin)))[:n]


@dataclass(frozen=True)
class MaxDifference:
    """Chooses the largest |margin|, where the head is most certain of the answer; ties at random.

    Source: a baseline in Shen, Sun & Ton 2025, "Active Reward Modeling" (arXiv 2502.04354).
    """

    name: ClassVar[str] = "max_difference"

    needs_head: ClassVar[bool] = True

    def __call__(self, candidates: Candidates, n: int, rng: np.random.Generator) -> np.ndarray:
        check_candidates(candidates, n)
        return np.lexsort((rng.random(len(candidates)), -np.abs(candidates.margin)))[:n]
