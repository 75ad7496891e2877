"""Flat arrays with a prompt id a row, seen as blocks of prompts with equally many responses."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

CELLS = 2**22  # responses, or pairs of responses, held at once


def prompt_blocks(group: np.ndarray, *, pairs: bool = False) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """group: [m] prompt ids -> (prompts [b], rows [b, K]) for blocks of prompts with K responses each.

    prompts are positions in np.unique(group); rows index the flat arrays.
    pairs: the caller holds a [b, K, K] table, so blocks are smaller.
    """
    order = np.argsort(group, kind="stable")
    _, start, size = np.unique(group[order], return_index=True, return_counts=True)
    for k in np.unique(size):
        prompts = np.flatnonzero(size == k)
        at_once = max(1, CELLS // int(k) ** (2 if pairs else 1))
        for i in range(0, len(prompts), at_once):
            block = prompts[i : i + at_once]
            yield block, order[start[block][:, None] + np.arange(k)]


def pair_signs(values: np.ndarray) -> np.ndarray:
    """values: [b, K] -> [b, K, K] int8, sign of values[:, i] - values[:, j]."""
    left, right = values[:, :, None], values[:, None, :]
    return (left > right).astype(np.int8) - (left < right).astype(np.int8)
