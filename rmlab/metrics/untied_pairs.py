"""Same-prompt pairs of different golden rewards, all or a sample of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numpy as np

from rmlab.metrics.golden_order import GoldenBlock
from rmlab.metrics.runs import Runs


class Blocks(Protocol):
    """A GoldenOrder or a StreamedOrder: gone through twice."""

    @property
    def blocks(self) -> Iterable[GoldenBlock]: ...


def untied_pairs(truth: Blocks, most: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """-> (first [n], second [n]) rows of the flat arrays, first < second; n <= most.

    Every pair where there are at most `most`, else so many of them, uniformly and without repetition.
    The pairs are numbered, not listed: a response that is better than c others of its prompt has c
    numbers, so the response of a number is found by bisection.
    """
    n = sum(int(_worse(block).sum()) for block in truth.blocks)
    number = np.arange(n) if n <= most else np.sort(rng.choice(n, most, replace=False, shuffle=False))
    found, known = [np.empty((2, 0), np.int64)], 0
    for block in truth.blocks:
        worse = _worse(block).ravel()
        end = known + np.cumsum(worse)
        here = number[np.searchsorted(number, known) : np.searchsorted(number, end[-1])]
        better = np.searchsorted(end, here, side="right")
        start = better - better % block.rows.shape[1]  # where the prompt of each begins
        other = start + here - (end[better] - worse[better])
        rows = block.rows.ravel()
        found.append(np.sort(np.stack([rows[better], rows[other]]), axis=0))
        known = int(end[-1])
    first, second = np.concatenate(found, axis=1)
    return first, second


def _worse(block: GoldenBlock) -> np.ndarray:
    """[b, K] others of the prompt that are worse than each response."""
    return Runs.of(block.golden).first
