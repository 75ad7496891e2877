"""Selection by where comparisons lie in feature space: core-set and D-optimal designs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular
from scipy.special import expit

from rmlab.errors import InputError
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


@dataclass(frozen=True)
class DOptimal:
    """Greedy maximisation of log det M, M = ridge I + sum of v z z^T over the chosen; ties at random.

    v = p (1 - p), p = sigma(margin): M is the Fisher information of Bradley-Terry in the last layer,
    plus a Gaussian prior of precision ridge. Each time the largest gain log(1 + v z^T M^-1 z) is taken.
    past: the sum also has the annotated comparisons, so what they tell already is not asked again.
    log det is submodular, so the gain of all n is at least 1 - 1/e of the best possible.
    Time O(n c f), with past also O((p + c + f) f^2); memory one float64 copy of z, one of n rows and,
    with past, one of past_z.
    Source: Shen, Sun & Ton 2025, "Active Reward Modeling" (arXiv 2502.04354). Their released code takes
    the n largest gains at once, with M summed over all candidates; here M has the chosen alone, and
    is updated after each, so that a comparison is not chosen beside its near copy.
    """

    name: ClassVar[str] = "d_optimal"

    past: bool = False
    ridge: float = 1.0

    needs_head: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 < self.ridge < np.inf:
            raise ValueError(f"ridge is {self.ridge}: use a number > 0")

    def __call__(self, candidates: Candidates, n: int, rng: np.random.Generator) -> np.ndarray:
        check_candidates(candidates, n)
        order = rng.permutation(len(candidates))  # argmax takes the first of equals: now a random one
        w = _weighted(candidates.z[order], candidates.margin[order])
        if self.past and len(candidates.past_z):
            w = _whitened(w, _weighted(candidates.past_z, candidates.past_margin), self.ridge)
        else:
            w /= np.sqrt(self.ridge)
        return order[_greedy(w, n)]


def _weighted(z: np.ndarray, margin: np.ndarray) -> np.ndarray:
    """[m, f], [m] -> [m, f] float64, sqrt(p (1 - p)) z: a comparison's information is the outer product."""
    margin = margin.astype(np.float64)
    weighted = z.astype(np.float64)
    weighted *= np.sqrt(expit(margin) * expit(-margin))[:, None]
    return weighted


def _whitened(w: np.ndarray, past: np.ndarray, ridge: float) -> np.ndarray:
    """[c, f], [p, f] -> [c, f] w L^-T with L L^T = ridge I + past^T past; w is overwritten."""
    information = past.T @ past
    information[np.diag_indices_from(information)] += ridge
    noise = _rounding(information.diagonal(), len(information))
    try:
        lower = cholesky(information, lower=True, overwrite_a=True, check_finite=False)
    except LinAlgError:
        raise _too_small() from None
    if (np.square(lower.diagonal()) <= noise).any():  # pivots are at least ridge, but for rounding
        raise _too_small()
    return solve_triangular(lower, w.T, lower=True, overwrite_b=True, check_finite=False).T


def _greedy(w: np.ndarray, n: int) -> np.ndarray:
    """w: [c, f] -> [n] rows in order of choice, each the largest gain log(1 + g), g = w^T A^-1 w,
    with A = I + sum of w w^T over those before.

    With u_s = A_s^-1 w_s of the s-th choice, Sherman-Morrison gives A^-1 = I - sum_s u_s u_s^T / (1 + g_s):
    so u of the next choice costs O(n f), and every gain's update g_i -= (w_i . u)^2 / (1 + g) O(c f).
    """
    gain = np.einsum("cf,cf->c", w, w)
    if not _rounding(gain, w.shape[1]) < 1.0:  # else the identity of A is lost beside w w^T
        raise _too_small()
    u = np.empty((n, w.shape[1]))  # each divided by sqrt(1 + g)
    chosen = np.empty(n, dtype=np.int64)
    for step in range(n):
        pick = chosen[step] = int(np.argmax(gain))
        before = u[:step]
        u[step] = (w[pick] - (before @ w[pick]) @ before) / np.sqrt(1.0 + gain[pick])
        gain -= np.square(w @ u[step])
        np.maximum(gain, 0.0, out=gain)
        gain[chosen[: step + 1]] = -1.0  # below any gain, and so never taken again
    return chosen


def _rounding(values: np.ndarray, terms: int) -> float:
    """The error in a sum of so many terms, the largest as large as the largest of [m] values >= 0."""
    return float(terms * np.finfo(np.float64).eps * values.max(initial=0.0))


def _too_small() -> InputError:
    return InputError("ridge is too small for features this large: raise selection.ridge")
