"""Percentile bootstrap over prompts: a prompt's responses stay together, so prompts are the clusters."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rmlab.errors import InputError

CELLS = 2**22  # resampled prompts held at once


def interval(
    values: np.ndarray, rng: np.random.Generator, n: int = 1000, level: float = 0.95
) -> tuple[float, float, float]:
    """values: [P], one a prompt -> mean, low, high over n resamples of prompts; NaN prompts are left out.

    All NaN gives NaN. Source: Efron & Tibshirani 1993, chapter 13.
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
    if len(values) == 0:
        raise InputError("there are no prompts to resample: evaluate at least 1")
    if n < 1 or not 0 < level < 1:
        raise InputError(f"bootstrap with {n} resamples at level {level}: use n >= 1 and 0 < level < 1")
    defined = ~np.isnan(values)
    filled = np.where(defined, values, 0.0)
    everyone = np.ones((1, len(values)))
    mean = _means(everyone, filled, defined)[0]
    resampled = np.concatenate(
        [_means(weights, filled, defined) for weights in _weights(len(values), rng, n)]
    )
    low, high = np.full(len(mean), np.nan), np.full(len(mean), np.nan)
    tail = (1 - level) / 2
    for column in np.flatnonzero(defined.any(axis=0)):
        low[column], high[column] = np.nanquantile(resampled[:, column], [tail, 1 - tail])
    return mean, low, high


def _weights(n_prompts: int, rng: np.random.Generator, n: int) -> Iterator[np.ndarray]:
    """[r, P] float64 blocks of n rows in all: how often each resample draws each prompt."""
    at_once = max(1, CELLS // n_prompts)
    for done in range(0, n, at_once):
        rows = min(at_once, n - done)
        drawn = rng.integers(0, n_prompts, size=(rows, n_prompts))
        drawn += np.arange(rows)[:, None] * n_prompts
        counts = np.bincount(drawn.ravel(), minlength=rows * n_prompts)
        yield counts.reshape(rows, n_prompts).astype(np.float64)


def _means(weights: np.ndarray, filled: np.ndarray, defined: np.ndarray) -> np.ndarray:
    """weights: [r, P] times a prompt is drawn -> [r, N] means over the defined; NaN where none is."""
    with np.errstate(invalid="ignore"):
        return weights @ filled / (weights @ defined)
