"""How well scores order the responses of each prompt, ties counted.

A head that scores all responses of a prompt alike has shown no order there: its correlation is 0, so that it
gains nothing from prompts that it does not tell apart. `constant_of` counts such prompts. Where the golden
rewards of a prompt are all equal there is no order to find, for any head: NaN, left out of means.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rmlab.metrics.order import GoldenOrder, ScoreBlock, ScoreOrder


def spearman(scores: np.ndarray, golden: np.ndarray, group: np.ndarray) -> np.ndarray:
    """scores, golden, group: [m] -> [P] Pearson correlation of ranks, ties at their mean rank.

    Prompts as in np.unique(group). 0 where the scores of a prompt are all equal; NaN where its golden
    rewards are, or where either hold NaN.
    """
    return _defined(spearman_of, scores, golden, group)


def spearman_of(order: ScoreOrder) -> np.ndarray:
    """[P], from scores that are sorted already."""
    return order.per_prompt(_spearman)


def kendall(scores: np.ndarray, golden: np.ndarray, group: np.ndarray) -> np.ndarray:
    """scores, golden, group: [m] -> [P] Kendall's tau-b,

    (concordant - discordant) / sqrt(pairs untied in scores * pairs untied in golden).
    Prompts as in np.unique(group). 0 where the scores of a prompt are all equal; NaN where its golden
    rewards are, or where either hold NaN. Sources: Kendall 1945; counted as by Knight 1966, in O(K log K).
    """
    return _defined(kendall_of, scores, golden, group)


def kendall_of(order: ScoreOrder) -> np.ndarray:
    """[P], from scores that are sorted already."""
    return order.per_prompt(_kendall)


def constant_of(order: ScoreOrder) -> np.ndarray:
    """[P] bool: golden rewards differ, and yet the scores are all equal."""
    return order.per_prompt(lambda block: (block.has_order & block.is_constant).astype(float)) > 0


def _defined(
    metric: Callable[[ScoreOrder], np.ndarray], scores: np.ndarray, golden: np.ndarray, group: np.ndarray
) -> np.ndarray:
    """The metric of all prompts without NaN; NaN for the others."""
    missing = np.isnan(scores) | np.isnan(golden)
    order = ScoreOrder.of(np.where(missing, 0, scores), GoldenOrder.of(np.where(missing, 0, golden), group))
    result = metric(order)
    result[np.isin(np.unique(group), group[missing])] = np.nan
    return result


def _spearman(block: ScoreBlock) -> np.ndarray:
    """Quantiles are ranks over K - 1, and equal within a tie of scores: there the mean rank of the scores
    is the mean of their places 0..K-1. A rank's variance is K^3 - K less t^3 - t for each tie (over 12)."""
    k = block.order.shape[1]
    together = (block.quantile - 0.5) @ (np.arange(k) - (k - 1) / 2) * (k - 1)
    cube = k**3 - k
    spread = np.sqrt(cube - block.runs.tie_cubes()) * np.sqrt(cube - block.truth.tie_cubes) / 12
    return _ratio(block, together, spread)


def _kendall(block: ScoreBlock) -> np.ndarray:
    untied, golden_untied = block.truth.pairs - block.tied, block.truth.pairs - block.truth.tied
    spread = np.sqrt(untied) * np.sqrt(golden_untied)
    return _ratio(block, block.concordant - block.discordant, spread)


def _ratio(block: ScoreBlock, together: np.ndarray, spread: np.ndarray) -> np.ndarray:
    shown = np.where(block.is_constant, 0.0, together) / np.where(spread > 0, spread, 1.0)
    return np.where(block.has_order, np.clip(shown, -1, 1), np.nan)
