"""Means over pairs with intervals over groups: pairs of one dialogue are no independent evidence."""

from __future__ import annotations

import numpy as np

from rmlab.errors import InputError
from rmlab.metrics.resamples import Resamples, check_level, widened

ROUNDING = 1e-12  # of the largest value: what varies less does not vary


def group_means(
    values: np.ndarray, group: np.ndarray, resamples: Resamples, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """values: [n, A], group: [n] int, 0 to G-1, none empty -> mean over pairs, low, high, [A] each.

    A resample draws G groups with all their pairs; its mean is sum(values) / pairs, so that large groups
    count as much as their pairs do. Widened as all intervals over prompts are, the standard error that of a
    ratio: each group counts G (its sum - mean * its pairs) / pairs of all. An interval needs 2 groups.
    Sources: the cluster bootstrap, Field & Welsh 2007; the ratio estimator, Cochran 1977, chapter 6.
    """
    check_level(level)
    if len(values) == 0 or resamples.n_prompts != int(group.max()) + 1:
        raise InputError("an interval over groups needs a pair in every group: pass groups numbered from 0")
    sums = np.column_stack([np.bincount(group, column) for column in values.T])
    size = np.bincount(group).astype(np.float64)
    means = np.empty((resamples.n, values.shape[1]))
    for rows, counts in resamples.blocks():
        weights = counts.astype(np.float64)
        means[rows] = (weights @ sums) / (weights @ size)[:, None]
    mean = values.mean(axis=0)
    parts = (sums - mean * size[:, None]) / size.mean()
    return mean, *widened(mean, means.T, parts + mean, level)


def credit(margin: np.ndarray) -> np.ndarray:
    """margin: score of the preferred answer less that of the other -> 1 right, 0 wrong, 1/2 for a tie."""
    return (1 + np.sign(margin)) / 2


def within_group_line(x: np.ndarray, y: np.ndarray, group: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of y ~ intercept + slope x by least squares within groups, x, y, group: [m].

    Both are centred in each group, since a head learns no level of a prompt; the line goes through the
    overall means. The slope is 0 where x does not vary within any group.
    """
    at = np.unique(group, return_inverse=True)[1]
    size = np.bincount(at)
    dx, dy = (v - (np.bincount(at, v) / size)[at] for v in (x, y))
    varies = np.abs(dx).max() > ROUNDING * np.abs(x).max()
    slope = float(dx @ dy) / float(dx @ dx) if varies else 0.0
    return slope, float(y.mean() - slope * x.mean())
