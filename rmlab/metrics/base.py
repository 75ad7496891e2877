"""Flat arrays with a prompt id a row, seen as blocks of prompts with equally many responses; ties in sorted
rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np


class RowNumbers(Protocol):
    """A number a row, as an array or made of one where it is asked for."""

    def __getitem__(self, rows: np.ndarray, /) -> np.ndarray: ...


CELLS = 2**18  # responses held at once: few enough for the processor's cache


def prompt_blocks(group: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """group: [m] prompt ids -> (prompts [b], rows [b, K]) for blocks of prompts with K responses each.

    prompts are positions in np.unique(group); rows index the flat arrays.
    """
    order = np.argsort(group, kind="stable")
    ordered = group[order]
    start = np.flatnonzero(np.concatenate([[len(group) > 0], ordered[1:] != ordered[:-1]]))
    size = np.diff(start, append=len(group))
    del ordered  # as long as the rows, and of no more use
    for k in np.unique(size):
        prompts = np.flatnonzero(size == k)
        at_once = max(1, CELLS // int(k))
        for i in range(0, len(prompts), at_once):
            block = prompts[i : i + at_once]
            yield block, order[start[block][:, None] + np.arange(k)]


@dataclass(frozen=True)
class Runs:
    """new: [b, K] bool, where a run of equal values begins; the first column is always True."""

    new: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> Runs:
        """values: [b, K], each row sorted."""
        new = np.ones(values.shape, dtype=bool)
        np.not_equal(values[:, 1:], values[:, :-1], out=new[:, 1:])
        return cls(new)

    @property
    def any_tied(self) -> bool:
        return not self.new.all()

    @property
    def first(self) -> np.ndarray:
        """[b, K] column in which the run of each cell begins: how many of the row are strictly lower."""
        column = np.arange(self.new.shape[1])
        return np.maximum.accumulate(np.where(self.new, column, 0), axis=1)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """values: [b, K] -> [b, K], each replaced by the mean over its run."""
        if not self.any_tied:
            return values
        start = np.flatnonzero(self.new)
        size = np.diff(start, append=self.new.size)
        mean = np.add.reduceat(values.ravel(), start) / size
        return np.repeat(mean, size).reshape(values.shape)

    def tied_pairs(self) -> np.ndarray:
        """[b] pairs of equal values, sum over runs of t (t - 1) / 2."""
        return self._within().sum(axis=1)

    def tie_cubes(self) -> np.ndarray:
        """[b] sum over runs of t^3 - t, what ties take from the variance of ranks (times 12)."""
        within = self._within()
        return 3 * (within * (within + 1)).sum(axis=1)

    def _within(self) -> np.ndarray:
        """[b, K] position within the run, from 0. Zeros, cheaply, where nothing is tied."""
        if not self.any_tied:
            return np.zeros((len(self.new), 1), dtype=np.int64)
        return np.arange(self.new.shape[1]) - self.first
