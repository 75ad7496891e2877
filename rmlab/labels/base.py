"""Labels turn unordered comparisons into answers: the preferred item comes first."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from rmlab.comparisons import Comparisons, Pool


class Labels(Protocol):
    def __call__(self, comparisons: Comparisons, pool: Pool, rng: np.random.Generator) -> Comparisons: ...
