"""Comparisons that cover the space of feature differences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rmlab.selection.base import Candidates, check_candidates

CELLS = 2**22  # distances held at once


@dataclass(frozen=True)
class Coreset:
    """k-centre greedy: each time the candidate furthest from all annotated and chosen ones; ties at random.

    Distance: d(z, z') = min(|z - z'|, |z + z'|), for a pair may be shown in either order; a metric on
    pairs up to order. Starts from the annotated comparisons, or without any from a random candidate.
    The largest distance of a candidate to its nearest chosen one is at most twice the best possible.
    Time O((n + p) c f), memory one float64 copy of z.
    Source: Gonzalez 1985; for active learning Sener & Savarese 2018 (arXiv 1708.00489). The coreset
    of Shen, Sun & Ton 2025 (arXiv 2502.04354) is another: k-means sensitivities of logistic regression.
    """

    name: ClassVar[str] = "coreset"

    needs_head: ClassVar[bool] = True

    def __call__(self, candidates: Candidates, n: int, rng: np.random.Generator) -> np.ndarray:
        check_candidates(candidates, n)
        order = rng.permutation(len(candidates))  # argmax takes the first of equals: now a random one
        z = candidates.z[order].astype(np.float64)
        norm = np.einsum("cf,cf->c", z, z)
        nearest = _nearest(z, norm, candidates.past_z)
        chosen = np.empty(n, dtype=np.int64)
        for step in range(n):
            pick = chosen[step] = int(np.argmax(nearest))
            np.minimum(nearest, _squared(z, norm, z[pick : pick + 1])[0], out=nearest)
            nearest[pick] = -1.0  # below any distance, and so never taken again
        return order[chosen]


def _nearest(z: np.ndarray, norm: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """[c, f], [c], [p, f] -> [c] squared distances to the nearest centre, infinite without any."""
    nearest = np.full(len(z), np.inf)
    at_once = max(1, CELLS // len(z))
    for i in range(0, len(centres), at_once):
        block = centres[i : i + at_once].astype(np.float64)
        np.minimum(nearest, _squared(z, norm, block).min(axis=0), out=nearest)
    return nearest


def _squared(z: np.ndarray, norm: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """[c, f], [c] = |z|^2, [b, f] -> [b, c]: min(|z - z'|^2, |z + z'|^2) = |z|^2 + |z'|^2 - 2 |z . z'|."""
    squared = np.abs(centres @ z.T)
    squared *= -2.0
    squared += norm
    squared += np.einsum("bf,bf->b", centres, centres)[:, None]
    return np.maximum(squared, 0.0, out=squared)
