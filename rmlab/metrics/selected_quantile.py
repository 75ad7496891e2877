"""How good the response that a head chooses is among the others of its prompt."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rmlab.metrics.best_of_n import expected_of_best
from rmlab.metrics.golden_order import GoldenOrder
from rmlab.metrics.score_order import ScoreOrder


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
