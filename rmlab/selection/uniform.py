"""The random arm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rmlab.selection.base import Candidates, check_budget


@dataclass(frozen=True)
class Uniform:
    """n candidates uniformly at random: what every other choice has to beat. Reads no head."""

    name: ClassVar[str] = "uniform"

    needs_head: ClassVar[bool] = False

    def __call__(self, candidates: Candidates, n: int, rng: np.random.Generator) -> np.ndarray:
        check_budget(candidates, n)
        return rng.permutation(len(candidates))[:n]
