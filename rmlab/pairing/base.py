"""A pairing chooses which responses of a pool are compared."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from rmlab.comparisons import Comparisons, Pool


class Pairing(Protocol):
    def capacity(self, pool: Pool) -> int:
        """How many distinct comparisons the pool allows."""
        ...

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Comparisons: ...
