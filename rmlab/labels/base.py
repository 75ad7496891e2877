"""Labels turn unordered comparisons into answers: the preferred item comes first."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from rmlab.comparisons import Comparisons, Pool
from rmlab.errors import InputError


class Labels(Protocol):
    def __call__(self, comparisons: Comparisons, pool: Pool, rng: np.random.Generator) -> Comparisons: ...


def golden_gap(comparisons: Comparisons, pool: Pool) -> np.ndarray:
    """[n] golden reward of the first item less that of the second."""
    if comparisons.items.ndim != 2 or comparisons.items.shape[1] != 2:
        raise InputError("these labels answer pairs: use a pairing with 2 responses a comparison")
    golden = pool.golden[comparisons.items]
    if not np.isfinite(golden).all():
        raise InputError("some golden rewards are not finite: annotate the responses again")
    gap = golden[:, 0] - golden[:, 1]
    if not gap.any():
        raise InputError("all compared responses have equal golden rewards: use a reward that varies")
    return gap
