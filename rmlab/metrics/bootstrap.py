"""Bootstrap over prompts, one column of values at a time; how intervals are made is told in resamples.py.

A prompt's responses stay together, so prompts are the clusters.
"""

from __future__ import annotations

import numpy as np

from rmlab.errors import InputError
from rmlab.metrics.resamples import Resamples


def interval(
    values: np.ndarray, rng: np.random.Generator, n: int = 1000, level: float = 0.95
) -> tuple[float, float, float]:
    """values: [P], one a prompt -> mean, low, high over n resamples of prompts; NaN prompts are left out.

    All NaN gives NaN; an interval needs 2 prompts.
    """
    mean, low, high = interval_curves(values[:, None], rng, n, level)
    return float(mean[0]), float(low[0]), float(high[0])


def paired_interval(
    a: np.ndarray, b: np.ndarray, rng: np.random.Generator, n: int = 1000, level: float = 0.95
) -> tuple[float, float, float]:
    """a, b: [P], the same prompts -> mean, low, high of a - b over prompts where both are defined."""
    if a.shape != b.shape:
        raise InputError(f"paired values need the same prompts: got {a.shape} and {b.shape}")
    return interval(a - b, rng, n, level)


def interval_curves(
    values: np.ndarray, rng: np.random.Generator, n: int = 1000, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """values: [P, N] -> mean, low, high, [N] each; all columns share the n resamples of prompts."""
    return Resamples.draw(len(values), rng, n).intervals(values, level)
