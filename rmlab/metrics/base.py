"""Flat arrays with prompt ids, viewed as blocks of prompts of equal size, and ties in sorted rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

CELLS = 2**18  # responses in a block: they fit the processor's cache


def prompt_blocks(group: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields (prompts [b], rows [b, K]) for blocks of prompts with K responses each. group: [m] prompt ids.

    prompts are positions in np.unique(group); rows index the flat arrays.
    """
    order = np.argsort(group, kind="stable")
    ordered = group[order]
    start = np.flatnonzero(np.concatenate([[len(group) > 0], ordered[1:] != ordered[:-1]]))
    size = np.diff(start, append=len(group))
    del ordered  # frees the memory
    for k in np.unique(size):
        prompts = np.flatnonzero(size == k)
        at_once = max(1, CELLS // int(k))
        for i in range(0, len(prompts), at_once):
            block = prompts[i : i + at_once]
            yield block, order[start[block][:, None] + np.arange(k)]


@dataclass(frozen=True)
class Runs:
    """Runs of equal values in sorted rows. new: [b, K] bool, where a run begins; True in the first column."""

    new: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> Runs:
        """Finds the runs. values: [b, K], each row sorted."""
        new = np.ones(values.shape, dtype=bool)
        np.not_equal(values[:, 1:], values[:, :-1], out=new[:, 1:])
        return cls(new)

    @property
    def any_tied(self) -> bool:
        return not self.new.all()

    @property
    def first(self) -> np.ndarray:
        """The column in which the run of each cell begins, [b, K]: how many of its row are strictly lower."""
        column = np.arange(self.new.shape[1])
        return np.maximum.accumulate(np.where(self.new, column, 0), axis=1)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Returns each value replaced by the mean over its run, [b, K]. values: [b, K]."""
        if not self.any_tied:
            return values
        start = np.flatnonzero(self.new)
        size = np.diff(start, append=self.new.size)
        mean = np.add.reduceat(values.ravel(), start) / size
        return np.repeat(mean, size).reshape(values.shape)

    def tied_pairs(self) -> np.ndarray:
        """Returns the number of pairs of equal values, the sum over runs of t (t - 1) / 2, [b]."""
        return self._within().sum(axis=1)

    def tie_cubes(self) -> np.ndarray:
        """Returns the sum over runs of t^3 - t, by which ties lower 12 times the variance of ranks, [b]."""
        within = self._within()
        return 3 * (within * (within + 1)).sum(axis=1)

    def _within(self) -> np.ndarray:
        """Returns the position within the run, from 0, [b, K], or a column of zeros without ties."""
        if not self.any_tied:
            return np.zeros((len(self.new), 1), dtype=np.int64)
        return np.arange(self.new.shape[1]) - self.first
