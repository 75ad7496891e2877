"""Flat arrays with a prompt id a row, seen as blocks of prompts with equally many responses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np


class Column(Protocol):
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
