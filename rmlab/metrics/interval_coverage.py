"""Do the intervals that a head gives for a margin hold the true one as often as they promise?"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

LEVEL = 0.9


def interval_coverage(
    mean: np.ndarray, std: np.ndarray, truth: np.ndarray, level: float = LEVEL
) -> tuple[float, float]:
    """Share of the truths within mean +- z std, z the normal quantile of the level, and the mean width.

    mean, std, truth: [n], in one unit; NaN for both if n is 0. Coverage alone is met by wide intervals, so
    the two belong together. Source: Gneiting & Raftery 2007, section 6.
    """
    if not len(truth):
        return np.nan, np.nan
    half = norm.ppf(0.5 + level / 2) * std
    return float((np.abs(truth - mean) <= half).mean()), float(2 * half.mean())
