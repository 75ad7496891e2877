"""Performance gap recovered: how much of the way from a weak teacher to its ceiling a student goes."""

from __future__ import annotations

import numpy as np

from rmlab.errors import InputError
from rmlab.metrics.resamples import Resamples, check_level


def gap_recovered(
    weak: np.ndarray, student: np.ndarray, ceiling: np.ndarray, draws: Resamples, level: float = 0.95
) -> tuple[float, float, float]:
    """[P] each, a metric of the three heads on the same prompts -> PGR and the ends of its interval.

    PGR = (mean student - mean weak) / (mean ceiling - mean weak): 0 for a student no better than its
    teacher, 1 for one as good as if the annotators had taught it. Source: Burns et al. 2023 (arXiv
    2312.09390). Ends: percentiles over resamples of prompts. A ratio says nothing where its denominator may
    be 0: they are NaN unless the ceiling is ahead of the teacher by the interval of that difference.
    Prompts on which any of the three is NaN are left out of all three.
    """
    if not weak.shape == student.shape == ceiling.shape == (draws.n_prompts,):
        raise InputError("the gap needs the three heads on the same prompts, one value a prompt of each")
    check_level(level)
    known = np.isfinite(weak + student + ceiling)
    won = np.where(known, student - weak, 0.0)
    gap = np.where(known, ceiling - weak, 0.0)
    if not known.any() or gap.sum() == 0:
        return np.nan, np.nan, np.nan
    ratio = float(won.sum() / gap.sum())
    _, low, _ = draws.intervals(np.where(known, gap, np.nan)[:, None], level)
    if not low[0] > 0:
        return ratio, np.nan, np.nan
    ratios = [(counts @ won) / (counts @ gap) for _, counts in draws.blocks()]
    ends = np.quantile(np.concatenate(ratios), [(1 - level) / 2, (1 + level) / 2])
    return ratio, float(ends[0]), float(ends[1])
