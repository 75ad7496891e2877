"""Share of same-prompt pairs that scores put in the golden order."""

from __future__ import annotations

import numpy as np

from rmlab.metrics.golden_order import GoldenOrder
from rmlab.metrics.score_order import ScoreBlock, ScoreOrder


def pairwise_accuracy(scores: np.ndarray, golden: np.ndarray, group: np.ndarray) -> np.ndarray:
    """scores, golden, group: [m] -> [P], over all pairs of a prompt with different golden rewards.

    A pair of equal scores counts one half, as a coin would. Prompts as in np.unique(group); NaN where
    no pair has different golden rewards: count them. This is order consistency (arXiv 2411.04991).
    """
    return accuracy_of(ScoreOrder.of(scores, GoldenOrder.of(golden, group)))


def accuracy_of(order: ScoreOrder) -> np.ndarray:
    """[P], from scores that are sorted already."""
    return order.per_prompt(_accuracy)


def _accuracy(block: ScoreBlock) -> np.ndarray:
    untied = block.truth.pairs - block.truth.tied
    right = block.concordant + (block.tied - block.tied_twice) / 2
    return right / np.where(untied > 0, untied, np.nan)
