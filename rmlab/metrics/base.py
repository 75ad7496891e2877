"""Flat arrays with a prompt id a row, seen as blocks of prompts with equally many responses."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

CELLS = 2**18  # responses held at once: few enough for the processor's cache


def prompt_blocks(group: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """group: [m] prompt ids -> (prompts [b], rows [b, K]) for blocks of prompts with K responses each.

    prompts are positions in np.unique(group); rows index the flat arrays.
    """
    order = np.argsort(group, kind="stable")
    _, start, size = np.unique(group[order], return_index=True, return_counts=True)
    for k in np.unique(size):
        prompts = np.flatnonzero(size == k)
        at_once = max(1, CELLS // int(k))
        for i in range(0, len(prompts), at_once):
            block = prompts[i : i + at_once]
            yield block, order[start[block][:, None] + np.arange(k)]
