"""Resamples of prompts, drawn once: every metric of every arm of a split is averaged over the same ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rmlab.errors import InputError

CELLS = 2**22  # resampled prompts, or resampled means, held at once


@dataclass(frozen=True)
class Resamples:
    """counts: [n, P] how often each of n resamples draws each of P prompts, in the fewest bytes."""

    counts: np.ndarray

    @classmethod
    def draw(cls, n_prompts: int, rng: np.random.Generator, n: int) -> Resamples:
        if n_prompts == 0:
            raise InputError("there are no prompts to resample: evaluate at least 1")
        if n < 1:
            raise InputError(f"bootstrap with {n} resamples: use n >= 1")
        counts = np.empty((n, n_prompts), dtype=np.min_scalar_type(n_prompts))
        for rows in slices(n, CELLS // n_prompts):
            drawn = rng.integers(0, n_prompts, size=(rows.stop - rows.start, n_prompts))
            drawn += np.arange(len(drawn))[:, None] * n_prompts
            counts[rows] = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)
        return cls(counts)

    def intervals(self, values: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """values: [P, N], one row a prompt -> mean, low, high, [N] each: percentiles of resampled means.

        NaN prompts of a column are left out; all NaN gives NaN. Source: Efron & Tibshirani 1993, chapter 13.
        """
        if len(values) != self.counts.shape[1]:
            raise InputError(f"{len(values)} values for {self.counts.shape[1]} prompts: pass one a prompt")
        if not 0 < level < 1:
            raise InputError(f"bootstrap at level {level}: use 0 < level < 1")
        parts = [
            self._intervals(values[:, columns], (1 - level) / 2)
            for columns in slices(values.shape[1], CELLS // len(self.counts))
        ]
        mean, low, high = np.concatenate(parts, axis=1) if parts else np.empty((3, 0))
        return mean, low, high

    def _intervals(self, values: np.ndarray, tail: float) -> np.ndarray:
        """[P, N] -> [3, N]."""
        defined = ~np.isnan(values)
        filled = np.where(defined, values, 0.0)
        some = np.flatnonzero(defined.any(axis=0) & ~defined.all(axis=0))
        drawn = np.full((values.shape[1], len(self.counts)), float(len(values)))
        total = np.empty_like(drawn)
        for rows in slices(len(self.counts), CELLS // len(values)):
            weights = self.counts[rows].astype(np.float64)
            total[:, rows] = (weights @ filled).T
            if len(some):
                drawn[some, rows] = (weights @ defined[:, some]).T
        result = np.full((3, values.shape[1]), np.nan)
        with np.errstate(invalid="ignore"):
            result[0] = filled.sum(axis=0) / defined.sum(axis=0)
            means = total / drawn
        whole = np.flatnonzero(defined.all(axis=0))
        result[1:, whole] = np.quantile(means[whole], [tail, 1 - tail], axis=1)
        for column in some:  # a resample may have drawn none of the defined prompts
            result[1:, column] = np.nanquantile(means[column], [tail, 1 - tail])
        return result


def slices(n: int, at_once: int) -> Iterator[slice]:
    at_once = max(1, at_once)
    for start in range(0, n, at_once):
        yield slice(start, min(start + at_once, n))
