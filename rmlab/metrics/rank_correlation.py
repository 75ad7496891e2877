"""Rank correlations of scores and golden rewards within prompts, with ties.

Where a head scores all responses of a prompt alike, its correlation is 0, so that it gains nothing from
prompts whose responses it does not distinguish; `constant_of` marks them. Where the golden rewards of a
prompt are all equal, there is no order to find: the correlation is NaN and left out of means.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rmlab.metrics.order import GoldenOrder, ScoreBlock, ScoreOrder


def spearman(scores: np.ndarray, golden: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Returns the Pearson correlation of ranks, ties at their mean rank, [P]. scores, golden, group: [m].

    Prompts as in np.unique(group). 0 where the scores of a prompt are all equal; NaN where its golden
    rewards are, or where either hold NaN.
    """
    return _defined(spearman_of, scores, golden, group)


def spearman_of(order: ScoreOrder) -> np.ndarray:
    """Returns spearman of scores that are sorted already, [P]."""
    return order.per_prompt(_spearman)


def kendall(scores: np.ndarray, golden: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Returns Kendall's tau-b, [P]. scores, golden, group: [m].

    tau-b = (concordant - discordant) / sqrt(pairs untied in scores * pairs untied in golden).
    Prompts as in np.unique(group). 0 where the scores of a prompt are all equal; NaN where its golden
    rewards are, or where either hold NaN. Sources: Kendall 1945; counted as by Knight 1966, in O(K log K).
    """
    return _defined(kendall_of, scores, golden, group)


def kendall_of(order: ScoreOrder) -> np.ndarray:
    """Returns kendall of scores that are sorted already, [P]."""
    return order.per_prompt(_kendall)


def constant_of(order: ScoreOrder) -> np.ndarray:
    """Marks the prompts whose golden rewards differ while all scores are equal, [P] bool."""
    return order.per_prompt(lambda block: (block.has_order & block.is_constant).astype(float)) > 0


def _defined(
    metric: Callable[[ScoreOrder], np.ndarray], scores: np.ndarray, golden: np.ndarray, group: np.ndarray
) -> np.ndarray:
    """Returns the metric of prompts without NaN, and NaN for the others."""
    missing = np.isnan(scores) | np.isnan(golden)
    order = ScoreOrder.of(np.where(missing, 0, scores), GoldenOrder.of(np.where(missing, 0, golden), group))
    result = metric(order)
    result[np.isin(np.unique(group), group[missing])] = np.nan
    return result


def _spearman(block: ScoreBlock) -> np.ndarray:
    """Returns spearman of the prompts of a block.

    Quantiles are ranks over K - 1, averaged within ties of scores, so positions 0..K-1 can stand for the mean
    ranks of the scores. 12 times the sum of squares of ranks is K^3 - K less t^3 - t for each tie of t.
    """
    k = block.order.shape[1]
    together = (block.quantile - 0.5) @ (np.arange(k) - (k - 1) / 2) * (k - 1)
    cube = k**3 - k
    spread = np.sqrt(cube - block.runs.tie_cubes()) * np.sqrt(cube - block.truth.tie_cubes) / 12
    return _ratio(block, together, spread)


def _kendall(block: ScoreBlock) -> np.ndarray:
    """Returns kendall of the prompts of a block."""
    untied, golden_untied = block.truth.pairs - block.tied, block.truth.pairs - block.truth.tied
    spread = np.sqrt(untied) * np.sqrt(golden_untied)
    return _ratio(block, block.concordant - block.discordant, spread)


def _ratio(block: ScoreBlock, together: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Returns together / spread, 0 for equal scores and NaN for equal golden rewards."""
    shown = np.where(block.is_constant, 0.0, together) / np.where(spread > 0, spread, 1.0)
    return np.where(block.has_order, np.clip(shown, -1, 1), np.nan)
