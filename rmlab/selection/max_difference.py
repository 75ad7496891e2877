"""The comparisons whose responses the head sees furthest apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rmlab.selection.base import Candidates, check_candidates


@dataclass(frozen=True)
class MaxDifference:
    """Largest |margin|, the answers the head is surest of; ties at random.

    Source: a baseline in Shen, Sun & Ton 2025, "Active Reward Modeling" (arXiv 2502.04354).
    """

    name: ClassVar[str] = "max_difference"

    needs_head: ClassVar[bool] = True

    def __call__(self, candidates: Candidates, n: int, rng: np.random.Generator) -> np.ndarray:
        check_candidates(candidates, n)
        return np.lexsort((rng.random(len(candidates)), -np.abs(candidates.margin)))[:n]
