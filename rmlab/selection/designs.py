"""Selection by the position of comparisons in feature space: core-set and D-optimal designs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular
from scipy.special import expit

from rmlab.errors import InputError
from rmlab.selection.base import Candidates, check_candidates

CELLS = 2**22  # distances in memory at once


@dataclass(frozen=True)
class Coreset:
    """Chooses by k-centre greedy: each time the candidate furthest from all annotated and chosen ones.

    The distance is d(z, z') = min(|z - z'|, |z + z'|), a metric on pairs without order, since a pair may be
    shown in either order; ties are broken at random. It starts from the annotated comparisons, or without any
    from a random candidate. The largest distance of a candidate to its nearest chosen one is at most twice
    the optimum.
    Time O((n + p) c f), memory one float64 copy of z.
    Source: Gonzalez 1985; for active learning Sener & Savarese 2018 (arXiv 1708.00489). The
    coreset of Shen, Sun & Ton 2025 (arXiv 2502.04354) is a different one, k-means sensitivities of logistic
    regression.
    """

    name: ClassVar[str] = "coreset"

    needs_head: ClassVar[bool] = True

    def __call__(self, candidates: Candidates, n: int, rng: np.random.Generator) -> np.ndarray:
        check_candidates(candidates, n)
        order = rng.permutation(len(candidates))  # argmax takes the first of equals, now a random one
        z = candidates.z[order].astype(np.float64)
        norm = np.einsum("cf,cf->c", z, z)
        nearest = _nearest(z, norm, candidates.past_z)
        chosen = np.empty(n, dtype=np.int64)
        for step in range(n):
            pick = chosen[step] = int(np.argmax(nearest))
            np.minimum(nearest, _squared(z, norm, z[pick : pick + 1])[0], out=nearest)
            nearest[pick] = -1.0  # less than any distance, so never chosen again
        return order[chosen]


def _nearest(z: np.ndarray, norm: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Returns squared distances to the nearest centre, [c], infinite without any.

    z: [c, f]; centres: [p, f].
    """
    nearest = np.full(len(z), np.inf)
    at_once = max(1, CELLS // len(z))
    for i in range(0, len(centres), at_once):
        block = centres[i : i + at_once].astype(np.float64)
        np.minimum(nearest, _squared(z, norm, block).min(axis=0), out=nearest)
    return nearest


def _squared(z: np.ndarray, norm: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Returns the squared distances, min(|z - z'|^2, |z + z'|^2) = |z|^2 + |z'|^2 - 2 |z . z'|, [b, c].

    z: [c, f]; norm: [c] = |z|^2; centres: [b, f].
    """
    squared = np.abs(centres @ z.T)
    squared *= -2.0
    squared += norm
    squared += np.einsum("bf,bf->b", centres, centres)[:, None]
    return np.maximum(squared, 0.0, out=squared)


@dataclass(frozen=True)
class DOptimal:
    """Maximises log det M greedily, M = ridge I + sum of v z z^T over the chosen; ties at random.

    v = p (1 - p), p = sigma(margin): M is the Fisher information of Bradley-Terry in the last layer, plus a
    Gaussian prior of precision ridge. Each time the candidate with the largest gain log(1 + v z^T M^-1 z) is
    chosen. past: the sum also includes the annotated comparisons, so that known directions are not asked
    about again. log det is submodular, so the gain of all n is at least 1 - 1/e of the optimum.
    Time O(n c f), with past also O((p + c + f) f^2); memory one float64 copy of z, one of n rows and,
    with past, one of past_z.
    Source: Shen, Sun & Ton 2025, "Active Reward Modeling" (arXiv 2502.04354). Their released code takes
    the n largest gains at once, with M summed over all candidates; here M sums the chosen ones alone and is
    updated after each, so that near copies of a comparison are not chosen together.
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
        order = rng.permutation(len(candidates))  # argmax takes the first of equals, now a random one
        w = _weighted(candidates.z[order], candidates.margin[order])
        if self.past and len(candidates.past_z):
            w = _whitened(w, _weighted(candidates.past_z, candidates.past_margin), self.ridge)
        else:
            w /= np.sqrt(self.ridge)
        return order[_greedy(w, n)]


def _weighted(z: np.ndarray, margin: np.ndarray) -> np.ndarray:
    """Returns sqrt(p (1 - p)) z, [m, f] float64, whose outer product is the information of a comparison."""
    margin = margin.astype(np.float64)
    weighted = z.astype(np.float64)
    weighted *= np.sqrt(expit(margin) * expit(-margin))[:, None]
    return weighted


def _whitened(w: np.ndarray, past: np.ndarray, ridge: float) -> np.ndarray:
    """Returns w L^-T, [c, f], with L L^T = ridge I + past^T past; w: [c, f], overwritten; past: [p, f]."""
    information = past.T @ past
    information[np.diag_indices_from(information)] += ridge
    noise = _rounding(information.diagonal(), len(information))
    try:
        lower = cholesky(information, lower=True, overwrite_a=True, check_finite=False)
    except LinAlgError:
        raise _too_small() from None
    if (np.square(lower.diagonal()) <= noise).any():  # without rounding, pivots are at least ridge
        raise _too_small()
    return solve_triangular(lower, w.T, lower=True, overwrite_b=True, check_finite=False).T


def _greedy(w: np.ndarray, n: int) -> np.ndarray:
    """Returns n rows of w [c, f] in order of choice, [n].

    Each has the largest gain log(1 + g), g = w^T A^-1 w, A = I + sum of w w^T over those before it.
    With u_s = A_s^-1 w_s of the s-th choice, Sherman-Morrison gives A^-1 = I - sum_s u_s u_s^T / (1 + g_s):
    so u of the next choice costs O(n f), and the update of all gains, g_i -= (w_i . u)^2 / (1 + g), costs O(c
    f).
    """
    gain = np.einsum("cf,cf->c", w, w)
    if not _rounding(gain, w.shape[1]) < 1.0:  # else I is lost to rounding beside w w^T in A
        raise _too_small()
    u = np.empty((n, w.shape[1]))  # each divided by sqrt(1 + g)
    chosen = np.empty(n, dtype=np.int64)
    for step in range(n):
        pick = chosen[step] = int(np.argmax(gain))
        before = u[:step]
        u[step] = (w[pick] - (before @ w[pick]) @ before) / np.sqrt(1.0 + gain[pick])
        gain -= np.square(w @ u[step])
        np.maximum(gain, 0.0, out=gain)
        gain[chosen[: step + 1]] = -1.0  # less than any gain, so never chosen again
    return chosen


def _rounding(values: np.ndarray, terms: int) -> float:
    """Bounds the rounding error of a sum of so many terms that are at most the largest of [m] values >= 0."""
    return float(terms * np.finfo(np.float64).eps * values.max(initial=0.0))


def _too_small() -> InputError:
    return InputError("ridge is too small for features this large: raise selection.ridge")
