"""Same-prompt pairs of different golden rewards, all or a sample of them."""

from __future__ import annotations

import numpy as np

from rmlab.metrics.golden_order import GoldenOrder
from rmlab.metrics.runs import Runs


def untied_pairs(truth: GoldenOrder, most: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """-> (first [n], second [n]) rows of the flat arrays, first < second; n <= most.

    Every pair where there are at most `most`, else so many of them, uniformly and without repetition.
    The pairs are numbered, not listed: a response that is better than c others of its prompt has c
    numbers, so the response of a number is found by bisection.
    """
    rows = np.concatenate([b.rows.ravel() for b in truth.blocks])
    worse = np.concatenate([Runs.of(b.golden).first.ravel() for b in truth.blocks])
    size = np.concatenate([np.full(len(b.prompts), b.rows.shape[1]) for b in truth.blocks])
    start = np.repeat(np.cumsum(size) - size, size)  # where the prompt of each row begins
    end = np.cumsum(worse)
    n = int(end[-1])
    number = np.arange(n) if n <= most else np.sort(rng.choice(n, most, replace=False, shuffle=False))
    better = np.searchsorted(end, number, side="right")
    other = start[better] + number - (end[better] - worse[better])
    a, b = rows[better], rows[other]
    return np.minimum(a, b), np.maximum(a, b)
