"""Means over pairs with intervals over groups of prompts, and the performance gap recovered."""

from __future__ import annotations

import numpy as np

from rmlab.errors import InputError
from rmlab.metrics.intervals import ENDS, Resamples, widened

ROUNDING = 1e-12  # share of the largest value below which variation is rounding error


def group_means(
    values: np.ndarray, group: np.ndarray, resamples: Resamples
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns means over pairs with intervals over groups: mean, low, high, [A] each.

    values: [n, A]; group: [n] int from 0 to G-1, none empty. A resample draws G groups with all their pairs;
    its mean is sum(values) / pairs, so that groups count by their pairs. Intervals are widened as all over
    prompts are, with the standard error of a ratio. An interval needs 2 groups.
    Source: the cluster bootstrap, Field & Welsh 2007.
    """
    if len(values) == 0 or resamples.n_prompts != int(group.max()) + 1:
        raise InputError("an interval over groups needs a pair in every group: pass groups numbered from 0")
    sums = np.column_stack([np.bincount(group, column) for column in values.T])
    size = np.bincount(group).astype(np.float64)
    means = np.empty((resamples.n, values.shape[1]))
    for rows, counts in resamples.blocks():
        weights = counts.astype(np.float64)
        means[rows] = (weights @ sums) / (weights @ size)[:, None]
    parts = np.column_stack([ratio_parts(column, size, size > 0) for column in sums.T])
    mean = values.mean(axis=0)
    return mean, *widened(mean, means.T, parts)


def ratio_parts(numerator: np.ndarray, denominator: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Returns a value for each prompt, [P], whose mean is the ratio R = sum(numerator) / sum(denominator).

    The values R + (numerator - R denominator) / mean(denominator) also have the spread that gives the
    standard error of R. numerator, denominator: [P] sums of each prompt; counted: [P] bool, the prompts to
    use; others get NaN, and so do all if the denominators sum to 0. Source: the ratio estimator, Cochran
    1977, chapter 6.
    """
    total = denominator[counted].sum()
    if total == 0:
        return np.full(len(counted), np.nan)
    ratio = numerator[counted].sum() / total
    parts = ratio + (numerator - ratio * denominator) / (total / counted.sum())
    return np.where(counted, parts, np.nan)


def credit(margin: np.ndarray) -> np.ndarray:
    """Returns 1 if right, 0 if wrong, 1/2 for a tie.

    margin: score of the preferred less that of the other.
    """
    return (1 + np.sign(margin)) / 2


def within_group_line(x: np.ndarray, y: np.ndarray, group: np.ndarray) -> tuple[float, float]:
    """Fits y ~ intercept + slope x by least squares within groups; x, y, group: [m] -> slope, intercept.

    x and y are centred in each group, since a head does not learn the level of a prompt; the line goes
    through the overall means. The slope is 0 where x does not vary within any group.
    """
    at = np.unique(group, return_inverse=True)[1]
    size = np.bincount(at)
    dx, dy = (v - (np.bincount(at, v) / size)[at] for v in (x, y))
    varies = np.abs(dx).max() > ROUNDING * np.abs(x).max()
    slope = float(dx @ dy) / float(dx @ dx) if varies else 0.0
    return slope, float(y.mean() - slope * x.mean())


def gap_recovered(
    weak: np.ndarray, student: np.ndarray, ceiling: np.ndarray, draws: Resamples
) -> tuple[float, float, float]:
    """Returns the performance gap recovered (PGR) and the ends of its interval.

    weak, student, ceiling: [P], a metric of the three heads on the same prompts. PGR = (mean student - mean
    weak) / (mean ceiling - mean weak): 0 for a student no better than its teacher, 1 for one as good as if
    the annotators had taught it. Source: Burns et al. 2023 (arXiv 2312.09390). The ends are percentiles over
    resamples of prompts, or NaN if the interval of the denominator includes 0, where the ratio means nothing.
    Prompts on which any of the three is NaN are left out.
    """
    if not weak.shape == student.shape == ceiling.shape == (draws.n_prompts,):
        raise InputError("the gap needs the three heads on the same prompts, one value a prompt of each")
    known = np.isfinite(weak + student + ceiling)
    won = np.where(known, student - weak, 0.0)
    gap = np.where(known, ceiling - weak, 0.0)
    if not known.any() or gap.sum() == 0:
        return np.nan, np.nan, np.nan
    ratio = float(won.sum() / gap.sum())
    _, low, _ = draws.intervals(np.where(known, gap, np.nan)[:, None])
    if not low[0] > 0:
        return ratio, np.nan, np.nan
    ratios = [(counts @ won) / (counts @ gap) for _, counts in draws.blocks()]
    ends = np.quantile(np.concatenate(ratios), ENDS)
    return ratio, float(ends[0]), float(ends[1])
