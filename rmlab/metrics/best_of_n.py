"""Exact best-of-N: the golden reward of the response a head would choose among N, and its quantile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from rmlab.errors import InputError
from rmlab.metrics.order import GoldenOrder, ScoreBlock, ScoreOrder


def best_of_n(scores: np.ndarray, golden: np.ndarray, ns: Sequence[int]) -> np.ndarray:
    """scores, golden: [P, K] -> [P, len(ns)], E[golden of the best scored of N drawn without replacement].

    = sum_k golden_(k) C(K-k, N-1) / C(K, N), k = 1..K the rank by score, best first. Responses of
    equal score are chosen among at random, so each counts with the mean golden reward of the tie.
    Source: the best of N has rank k if k is drawn and the other N-1 come from the K-k below it.
    """
    n_prompts, k = golden.shape
    if k == 0 or not all(1 <= n <= k for n in ns):
        raise InputError(f"best-of-N needs N from 1 to the {k} responses of a prompt: got {ns}")
    return best_of_n_ragged(scores.ravel(), golden.ravel(), np.repeat(np.arange(n_prompts), k), ns)


def best_of_n_ragged(
    scores: np.ndarray, golden: np.ndarray, group: np.ndarray, ns: Sequence[int]
) -> np.ndarray:
    """scores, golden, group: [m] -> [P, len(ns)], prompts as in np.unique(group); NaN where N > K.

    ns=(1,) gives the random bound, scores=golden the oracle bound.
    """
    return best_of_n_of(ScoreOrder.of(scores, GoldenOrder.of(golden, group)), ns)


def best_of_n_of(order: ScoreOrder, ns: Sequence[int]) -> np.ndarray:
    """[P, len(ns)], from scores that are sorted already."""
    return expected_of_best(order, lambda block: block.by_score(block.truth.golden), ns)


def proxy_of_n_of(order: ScoreOrder, ns: Sequence[int]) -> np.ndarray:
    """[P, len(ns)], E[score of the best scored of N]: what the head itself expects of its choice."""
    return expected_of_best(order, lambda block: block.scores, ns)


def expected_of_best(
    order: ScoreOrder, values: Callable[[ScoreBlock], np.ndarray], ns: Sequence[int]
) -> np.ndarray:
    """values: block -> [b, K], worst scored first -> [P, len(ns)], E[value of the best scored of N]."""
    if not all(n >= 1 for n in ns):
        raise InputError(f"best-of-N needs N from 1 to the responses of a prompt: got {ns}")

    def measure(block: ScoreBlock) -> np.ndarray:
        k = block.order.shape[1]
        expected = np.full((len(block.order), len(ns)), np.nan)
        reachable = [column for column, n in enumerate(ns) if n <= k]
        expected[:, reachable] = values(block) @ _weights(k, tuple(ns[column] for column in reachable))
        return expected

    return order.per_prompt(measure)


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


@lru_cache(maxsize=32)
def _weights(k: int, ns: tuple[int, ...]) -> np.ndarray:
    """[k, len(ns)], worst rank first, columns sum to 1: the chance that the best of n has that rank.

    w_1 = N/K, w_{k+1} = w_k (K-k-N+1)/(K-k), k = 1 the best: no large binomials.
    """
    rank = np.arange(1, k)
    weights = np.empty((k, len(ns)))
    for column, n in enumerate(ns):
        ratio = np.maximum(k - rank - n + 1, 0) / (k - rank)
        weights[::-1, column] = n / k * np.cumprod(np.concatenate([[1.0], ratio]))
    weights.flags.writeable = False  # kept for the next arm
    return weights


def selected_quantile(
    scores: np.ndarray, golden: np.ndarray, group: np.ndarray, ns: Sequence[int]
) -> np.ndarray:
    """scores, golden, group: [m] -> [P, len(ns)] expected golden quantile of the best scored of N.

    The quantile of a response is the share of all its prompt's other responses with a lower golden
    reward, ties half: 0 the worst, 1 the best; a random choice has 1/2 at any N, and so has a prompt of
    equal golden rewards. Exact, as best_of_n; unlike it without a unit, the same for every golden
    reward of one order. Prompts as in np.unique(group); NaN where N > K or K = 1.
    """
    return selected_quantile_of(ScoreOrder.of(scores, GoldenOrder.of(golden, group)), ns)


def selected_quantile_of(order: ScoreOrder, ns: Sequence[int]) -> np.ndarray:
    """[P, len(ns)], from scores that are sorted already."""
    return expected_of_best(order, lambda block: block.quantile, ns)
