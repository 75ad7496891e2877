"""Exact best-of-N: the expected golden reward, or its quantile, of the response that a head picks among N."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from rmlab.errors import InputError
from rmlab.metrics.order import ScoreBlock, ScoreOrder


def best_of_n(order: ScoreOrder, ns: Sequence[int]) -> np.ndarray:
    """Returns E[golden of the best scored of N drawn without replacement], [P, len(ns)]; NaN where N > K.

    The expectation is sum_k golden_(k) C(K-k, N-1) / C(K, N), k = 1..K the rank by score, best first. Among
    responses of equal score the choice is random, so each counts with the mean golden reward of the tie.
    ns=(1,) gives the random bound, and golden rewards as scores the oracle bound.
    Source: the best of N has rank k if k is drawn and the other N-1 come from the K-k below it.
    """
    return _expected_of_best(order, lambda block: block.by_score(block.truth.golden), ns)


def proxy_of_n(order: ScoreOrder, ns: Sequence[int]) -> np.ndarray:
    """Returns E[score of the best scored of N], what the head itself expects of its choice, [P, len(ns)]."""
    return _expected_of_best(order, lambda block: block.scores, ns)


def selected_quantile(order: ScoreOrder, ns: Sequence[int]) -> np.ndarray:
    """Returns the expected golden quantile of the best scored of N, [P, len(ns)]; NaN where N > K or K = 1.

    The quantile of a response is the share of its prompt's other responses with a lower golden reward, ties
    counting half: 0 for the worst, 1 for the best, 1/2 for a random choice at any N and for prompts of equal
    golden rewards. It is exact, as best_of_n is; unlike that it has no unit, and depends on the order of
    golden rewards alone.
    """
    return _expected_of_best(order, lambda block: block.quantile, ns)


def _expected_of_best(
    order: ScoreOrder, values: Callable[[ScoreBlock], np.ndarray], ns: Sequence[int]
) -> np.ndarray:
    """Returns E[value of the best scored of N], [P, len(ns)]. values: block -> [b, K], worst scored first."""
    if not all(n >= 1 for n in ns):
        raise InputError(f"best-of-N needs N from 1 to the responses of a prompt: got {ns}")

    def measure(block: ScoreBlock) -> np.ndarray:
        k = block.order.shape[1]
        expected = np.full((len(block.order), len(ns)), np.nan)
        reachable = [column for column, n in enumerate(ns) if n <= k]
        expected[:, reachable] = values(block) @ _weights(k, tuple(ns[column] for column in reachable))
        return expected

    return order.per_prompt(measure)


def kl_of_n(n: int) -> float:
    """Returns log n - (n-1)/n, an upper bound on the KL divergence of best-of-n from the policy.

    It is the divergence itself where no two responses have one score; ties lower that.
    Source: Beirami et al. 2024.
    """
    return float(np.log(n) - (n - 1) / n)


def default_ns(k: int) -> list[int]:
    """Returns 1, 2, 4, ... below k, and k."""
    return [2**i for i in range(k.bit_length()) if 2**i < k] + [k]


@lru_cache(maxsize=32)
def _weights(k: int, ns: tuple[int, ...]) -> np.ndarray:
    """Returns the probability that the best of n has each rank, worst rank first, [k, len(ns)].

    w_1 = N/K, w_{k+1} = w_k (K-k-N+1)/(K-k), k = 1 the best: no large binomials.
    """
    rank = np.arange(1, k)
    weights = np.empty((k, len(ns)))
    for column, n in enumerate(ns):
        ratio = np.maximum(k - rank - n + 1, 0) / (k - rank)
        weights[::-1, column] = n / k * np.cumprod(np.concatenate([[1.0], ratio]))
    weights.flags.writeable = False  # the cached array is shared
    return weights
