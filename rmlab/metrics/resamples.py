"""Resamples of prompts, drawn once: every metric of every arm of a split is averaged over the same ones."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rmlab.errors import InputError

CELLS = 2**22  # resampled prompts, or resampled means, held at once
KEPT = 2**26  # bytes of counts that are kept


@dataclass(frozen=True, eq=False)
class Resamples:
    """n resamples of P prompts each: how often each resample draws each prompt.

    kept: [n, P], in the fewest bytes; None where that is more than KEPT bytes: they are drawn anew, the same
    ones from the same state of the generator, whenever they are gone through.
    """

    n: int
    n_prompts: int
    rng: np.random.Generator
    kept: np.ndarray | None

    @classmethod
    def draw(cls, n_prompts: int, rng: np.random.Generator, n: int) -> Resamples:
        if n_prompts == 0:
            raise InputError("there are no prompts to resample: evaluate at least 1")
        if n < 1:
            raise InputError(f"bootstrap with {n} resamples: use n >= 1")
        drawn = cls(n, n_prompts, copy.deepcopy(rng), None)
        small = n * n_prompts * np.min_scalar_type(n_prompts).itemsize <= KEPT
        return cls(n, n_prompts, drawn.rng, drawn.counts) if small else drawn

    @property
    def counts(self) -> np.ndarray:
        """[n, P]"""
        if self.kept is not None:
            return self.kept
        counts = np.empty((self.n, self.n_prompts), dtype=np.min_scalar_type(self.n_prompts))
        for rows, drawn in self.blocks():
            counts[rows] = drawn
        return counts

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Some resamples at a time, by number, and their counts."""
        rng, p = copy.deepcopy(self.rng), self.n_prompts
        for rows in slices(self.n, CELLS // p):
            if self.kept is not None:
                yield rows, self.kept[rows]
                continue
            drawn = rng.integers(0, p, size=(rows.stop - rows.start, p))
            drawn += np.arange(len(drawn))[:, None] * p
            yield rows, np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)

    def intervals(self, values: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """values: [P, N], one row a prompt -> mean, low, high, [N] each: percentiles of resampled means.

        NaN prompts of a column are left out; all NaN gives NaN. Source: Efron & Tibshirani 1993, chapter 13.
        """
        mean, low, high = self.intervals_of([values], level)[0]
        return mean, low, high

    def intervals_of(self, tables: Sequence[np.ndarray], level: float = 0.95) -> list[np.ndarray]:
        """The same of several tables of values in one pass over the resamples: [3, N] each."""
        for values in tables:
            if len(values) != self.n_prompts:
                raise InputError(f"{len(values)} values for {self.n_prompts} prompts: pass one a prompt")
        if not 0 < level < 1:
            raise InputError(f"bootstrap at level {level}: use 0 < level < 1")
        parts = [
            [_Means.of(values[:, columns], self.n) for columns in slices(values.shape[1], CELLS // self.n)]
            for values in tables
        ]
        for rows, counts in self.blocks():
            weights = counts.astype(np.float64)
            for part in itertools.chain.from_iterable(parts):
                part.add(rows, weights)
        tail = (1 - level) / 2
        return [
            np.concatenate([np.empty((3, 0)), *(p.intervals(tail) for p in part)], axis=1) for part in parts
        ]


@dataclass(frozen=True, eq=False)
class _Means:
    """Sums and counts of some columns in every resample. filled: 0 in place of NaN; n: numbers of each;
    some: the columns that have NaN and numbers; defined: where these have numbers."""

    filled: np.ndarray
    n: np.ndarray
    some: np.ndarray
    defined: np.ndarray
    total: np.ndarray
    drawn: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, n: int) -> _Means:
        defined = ~np.isnan(values)
        numbers = defined.sum(axis=0)
        some = np.flatnonzero((numbers > 0) & (numbers < len(values)))
        filled = values if defined.all() else np.where(defined, values, 0.0)
        drawn = np.full((values.shape[1], n), float(len(values)))
        return cls(filled, numbers, some, defined[:, some], np.empty_like(drawn), drawn)

    def add(self, rows: slice, weights: np.ndarray) -> None:
        self.total[:, rows] = (weights @ self.filled).T
        if len(self.some):
            self.drawn[self.some, rows] = (weights @ self.defined).T

    def intervals(self, tail: float) -> np.ndarray:
        """[3, N] mean, low, high."""
        result = np.full((3, len(self.total)), np.nan)
        with np.errstate(invalid="ignore"):
            result[0] = self.filled.sum(axis=0) / self.n
            means = self.total / self.drawn
        whole = np.flatnonzero(self.n == len(self.filled))
        result[1:, whole] = np.quantile(means[whole], [tail, 1 - tail], axis=1)
        for column in self.some:  # a resample may have drawn none of the defined prompts
            result[1:, column] = np.nanquantile(means[column], [tail, 1 - tail])
        return result


def slices(n: int, at_once: int) -> Iterator[slice]:
    at_once = max(1, at_once)
    for start in range(0, n, at_once):
        yield slice(start, min(start + at_once, n))
