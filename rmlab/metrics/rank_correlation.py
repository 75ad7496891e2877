"""Rank correlations of scores and golden rewards within prompts, with ties.

Where a head scores all responses of a prompt alike, its correlation is 0, so that it gains nothing from
prompts whose responses it does not distinguish; `constant_of` marks them. Where the golden rewards of a
prompt are all equal, there is no order to find: the correlation is NaN and left out of means.
"""

from __future__ import annotations

import numpy as np

from rmlab.metrics.order import ScoreBlock, ScoreOrder


def spearman(order: ScoreOrder) -> np.ndarray:
    """Returns the Pearson correlation of ranks, ties at their mean rank, [P].

    Quantiles are ranks over K - 1, averaged within ties of scores, so positions 0..K-1 can stand for the mean
    ranks of the scores. 12 times the sum of squares of ranks is K^3 - K less t^3 - t for each tie of t.
    """

    def measure(block: ScoreBlock) -> np.ndarray:
        k = block.order.shape[1]
        together = (block.quantile - 0.5) @ (np.arange(k) - (k - 1) / 2) * (k - 1)
        cube = k**3 - k
        spread = np.sqrt(cube - block.runs.tie_cubes()) * np.sqrt(cube - block.truth.tie_cubes) / 12
        return _ratio(block, together, spread)

    return order.per_prompt(measure)


def kendall(order: ScoreOrder) -> np.ndarray:
    """Returns Kendall's tau-b, [P].

    tau-b = (concordant - discordant) / sqrt(pairs untied in scores * pairs untied in golden).
    Sources: Kendall 1945; counted as by Knight 1966, in O(K log K).
    """

    def measure(block: ScoreBlock) -> np.ndarray:
        spread = np.sqrt(block.truth.pairs - block.tied) * np.sqrt(block.truth.untied)
        return _ratio(block, block.concordant - block.discordant, spread)

    return order.per_prompt(measure)


def constant_of(order: ScoreOrder) -> np.ndarray:
    """Marks the prompts whose golden rewards differ while all scores are equal, [P] bool."""
    return order.per_prompt(lambda block: (block.has_order & block.is_constant).astype(float)) > 0


def _ratio(block: ScoreBlock, together: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Returns together / spread, 0 for equal scores and NaN for equal golden rewards."""
    shown = np.where(block.is_constant, 0.0, together) / np.where(spread > 0, spread, 1.0)
    return np.where(block.has_order, np.clip(shown, -1, 1), np.nan)
