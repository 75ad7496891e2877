"""The over-optimisation score: how far a reward's own promise lies from the golden reward as KL grows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rmlab.metrics.intervals import ENDS, Resamples

_LEAST_DEFINED = 0.95  # share of resamples on which the score must be defined for it to have an interval


@dataclass(frozen=True)
class Score:
    """gamma with the ends of its 95% interval, and the largest KL that it covers; NaN where undefined."""

    gamma: float
    low: float
    high: float
    kl: float


def gamma(kl: np.ndarray, golden: np.ndarray, proxy: np.ndarray) -> np.ndarray:
    """Returns the integral of |golden - proxy| over that of golden, along KL, [...].

    kl, golden, proxy: [..., J], gains over the reference in deviations of its samples, J points in ascending
    order of KL that begin at the reference. Curves are straight between their points. NaN where the integral
    of golden is not positive: then nothing was gained that could be lost.
    """
    width = np.diff(kl, axis=-1)
    gap = golden - proxy
    left, right = gap[..., :-1], gap[..., 1:]
    size = np.abs(left) + np.abs(right)
    crosses = left * right < 0
    between = np.where(crosses, (left**2 + right**2) / np.where(size > 0, size, 1.0), size) / 2
    above = (between * width).sum(axis=-1)
    below = ((golden[..., :-1] + golden[..., 1:]) / 2 * width).sum(axis=-1)
    return np.asarray(np.where(below > 0, above / np.where(below > 0, below, 1.0), np.nan))


def gamma_of_prompts(kl: np.ndarray, golden: np.ndarray, proxy: np.ndarray, resamples: Resamples) -> Score:
    """Returns gamma of the mean curves over prompts, with percentiles over resamples of prompts.

    kl, golden, proxy: [P, J], gains of each prompt, the points in ascending order of mean KL. There is no
    interval where gamma is undefined on more than one resample in twenty, or with one prompt.
    """
    curves = np.stack([kl, golden, proxy])
    mean = curves.mean(axis=1)
    value, reach = float(gamma(*mean)), float(mean[0, -1])
    if not np.isfinite(value) or resamples.n_prompts < 2:
        return Score(value, np.nan, np.nan, reach)
    found = []
    for _, counts in resamples.blocks():
        means = (counts.astype(float) @ curves) / resamples.n_prompts
        found.append(gamma(*means))
    drawn = np.concatenate(found)
    defined = drawn[np.isfinite(drawn)]
    if len(defined) < _LEAST_DEFINED * len(drawn):
        return Score(value, np.nan, np.nan, reach)
    low, high = np.quantile(defined, ENDS)
    return Score(value, float(low), float(high), reach)
