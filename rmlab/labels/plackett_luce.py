"""Rankings and choices of K responses, drawn from utilities."""

from __future__ import annotations

import numpy as np


def draw_ranking(utility: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """utility: [n, K] -> [n, K] columns, best first, with P(order) = prod_k softmax over those left.

    The order of utilities with independent standard Gumbel noise is exactly Plackett-Luce, and any
    two of a list are in the order of a Bradley-Terry pair: P(i before j) = sigma(u_i - u_j).
    Source: Luce 1959; Plackett 1975; Yellott 1977 for the Gumbel noise.
    """
    return np.argsort(-(utility + rng.gumbel(size=utility.shape)), axis=1)


def draw_choice(utility: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """utility: [n, K] -> [n, K] columns, the chosen one first, which has changed places with the first.

    P(chosen) = softmax of the utilities.
    """
    n, k = utility.shape
    chosen = (utility + rng.gumbel(size=utility.shape)).argmax(axis=1)
    columns = np.tile(np.arange(k), (n, 1))
    columns[np.arange(n), chosen] = 0
    columns[:, 0] = chosen
    return columns


def stage_log_prob(utility: np.ndarray) -> np.ndarray:
    """utility: [n, K] in the order given -> [n, K] log of P(this one is taken before those after it).

    Column 0 is the log-probability of the choice, the sum that of the ranking.
    """
    left = np.logaddexp.accumulate(utility[:, ::-1], axis=1)[:, ::-1]
    return utility - left
