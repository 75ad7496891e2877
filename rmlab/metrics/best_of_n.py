"""Exact best-of-N: the golden reward of the response a head would choose among N."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rmlab.errors import InputError
from rmlab.metrics.base import prompt_blocks


def best_of_n(scores: np.ndarray, golden: np.ndarray, ns: Sequence[int]) -> np.ndarray:
    """scores, golden: [P, K] -> [P, len(ns)], E[golden of the best scored of N drawn without replacement].

    = sum_k golden_(k) C(K-k, N-1) / C(K, N), k = 1..K the rank by score, best first. Responses of
    equal score are chosen among at random, so each counts with the mean golden reward of the tie.
    Source: the best of N has rank k if k is drawn and the other N-1 come from the K-k below it.
    """
    if np.isnan(scores).any() or np.isnan(golden).any():
        raise InputError("scores or golden rewards hold NaN: score the responses again")
    if golden.shape[1] == 0 or not all(1 <= n <= golden.shape[1] for n in ns):
        raise InputError(f"best-of-N needs N from 1 to the {golden.shape[1]} responses of a prompt: got {ns}")
    return _golden_by_rank(scores, golden) @ _rank_weights(golden.shape[1], ns).T


def best_of_n_ragged(
    scores: np.ndarray, golden: np.ndarray, group: np.ndarray, ns: Sequence[int]
) -> np.ndarray:
    """scores, golden, group: [m] -> [P, len(ns)], prompts as in np.unique(group); NaN where N > K.

    ns=(1,) gives the random bound, scores=golden the oracle bound.
    """
    result = np.full((len(np.unique(group)), len(ns)), np.nan)
    for prompts, rows in prompt_blocks(group):
        columns = np.flatnonzero(np.asarray(ns) <= rows.shape[1])
        reachable = [n for n in ns if n <= rows.shape[1]]
        result[np.ix_(prompts, columns)] = best_of_n(scores[rows], golden[rows], reachable)
    return result


def random_bound(golden: np.ndarray) -> np.ndarray:
    """golden: [P, K] -> [P], what a random choice gets at any N: the mean."""
    return golden.mean(axis=1)


def oracle_bound(golden: np.ndarray, ns: Sequence[int]) -> np.ndarray:
    """golden: [P, K] -> [P, len(ns)], best-of-N by the golden reward itself."""
    return best_of_n(golden, golden, ns)


def kl_of_n(n: int) -> float:
    """KL divergence of best-of-n from the policy, log n - (n-1)/n: exact for continuous scores,
    else an upper bound (Beirami et al. 2024)."""
    return float(np.log(n) - (n - 1) / n)


def default_ns(k: int) -> list[int]:
    """1, 2, 4, ... below k, and k."""
    return [2**i for i in range(k.bit_length()) if 2**i < k] + [k]


def _rank_weights(k: int, ns: Sequence[int]) -> np.ndarray:
    """[len(ns), k], rows sum to 1. w_1 = N/K, w_{k+1} = w_k (K-k-N+1)/(K-k): no large binomials."""
    rank = np.arange(1, k)
    weights = np.empty((len(ns), k))
    for row, n in zip(weights, ns, strict=True):
        ratio = np.maximum(k - rank - n + 1, 0) / (k - rank)
        row[:] = n / k * np.cumprod(np.concatenate([[1.0], ratio]))
    return weights


def _golden_by_rank(scores: np.ndarray, golden: np.ndarray) -> np.ndarray:
    """[P, K] golden rewards, best score first, each tie's replaced by its mean."""
    order = np.argsort(-scores, axis=1, kind="stable")
    scores, golden = np.take_along_axis(scores, order, 1), np.take_along_axis(golden, order, 1)
    new = np.ones(scores.shape, dtype=bool)
    new[:, 1:] = scores[:, 1:] != scores[:, :-1]
    tie = np.cumsum(new.ravel()) - 1
    mean = np.bincount(tie, weights=golden.ravel()) / np.bincount(tie)
    return mean[tie].reshape(golden.shape)
