"""Means over pairs with intervals over groups: pairs of one dialogue are no independent evidence."""

from __future__ import annotations

import numpy as np

from rmlab.errors import InputError
from rmlab.metrics.resamples import Resamples


def group_means(
    values: np.ndarray, group: np.ndarray, resamples: Resamples, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """values: [n, A], group: [n] int, 0 to G-1, none empty -> mean over pairs, low, high, [A] each.

    A resample draws G groups with all their pairs; its mean is sum(values) / pairs, so that large groups
    count as much as their pairs do. Source: the cluster bootstrap, Field & Welsh 2007.
    """
    if len(values) == 0 or resamples.n_prompts != int(group.max()) + 1:
        raise InputError("an interval over groups needs a pair in every group: pass groups numbered from 0")
    sums = np.column_stack([np.bincount(group, column) for column in values.T])
    size = np.bincount(group).astype(np.float64)
    means = np.empty((resamples.n, values.shape[1]))
    for rows, counts in resamples.blocks():
        weights = counts.astype(np.float64)
        means[rows] = (weights @ sums) / (weights @ size)[:, None]
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return values.mean(axis=0), low, high


def credit(margin: np.ndarray) -> np.ndarray:
    """margin: score of the preferred answer less that of the other -> 1 right, 0 wrong, 1/2 for a tie."""
    return (1 + np.sign(margin)) / 2
