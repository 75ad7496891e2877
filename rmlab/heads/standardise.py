"""Features of mean 0 and standard deviation 1, as seen on the rows a head is fitted on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

ROWS_AT_ONCE = 8192
ROWS_IN_CACHE = 512
FLOAT32_RESOLUTION = float(np.finfo(np.float32).eps)


def row_blocks(n: int, size: int = ROWS_AT_ONCE) -> Iterator[slice]:
    """Slices that cover n rows, so that memory stays bounded however many rows there are."""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


@dataclass(frozen=True, eq=False)
class Standardiser:
    """z = (x - mean) / scale for each feature; mean and scale are [d] float64."""

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def identity(cls, d: int) -> Standardiser:
        return cls(np.zeros(d), np.ones(d))

    @classmethod
    def of(cls, x: np.ndarray, rows: np.ndarray, wanted: bool) -> Standardiser:
        return cls.fit(x, rows) if wanted else cls.identity(x.shape[1])

    @classmethod
    def fit(cls, x: np.ndarray, rows: np.ndarray) -> Standardiser:
        """The mean and the population standard deviation of x[rows], each row of the pool once."""
        rows = np.unique(rows)
        origin = x[rows[:ROWS_IN_CACHE]].mean(axis=0, dtype=np.float64)  # near the mean: little cancels
        total, squares = np.zeros(x.shape[1]), np.zeros(x.shape[1])
        for block in row_blocks(len(rows), ROWS_IN_CACHE):
            centred = x[rows[block]] - origin
            total += centred.sum(axis=0)
            squares += np.einsum("ij,ij->j", centred, centred)
        shift = total / len(rows)
        mean, variance = origin + shift, squares / len(rows) - shift**2
        std = np.sqrt(variance.clip(min=0))
        # Spread below the resolution of the embeddings is rounding: dividing by it would blow it up.
        return cls(mean, np.where(std > FLOAT32_RESOLUTION * np.abs(mean), std, 1.0))

    def apply(self, x: np.ndarray, dtype: DTypeLike) -> np.ndarray:
        """[m, d] -> [m, d] of dtype; x is left as it is."""
        z = x.astype(dtype)
        z -= self.mean.astype(dtype)
        z /= self.scale.astype(dtype)
        return z
