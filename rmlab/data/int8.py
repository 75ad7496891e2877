"""Vectors in 8 bits: symmetric, one scale a dimension, rounded to the nearest step.

    x[i, k] ≈ q[i, k] · scale[k],   q = round(x / scale) in -127 … 127,   scale[k] = max_i |x[i, k]| / 127

Every value fits, so the error is at most half a step. A scale from a quantile would make the steps finer and
cut the largest values; scripts/bench/int8.py measures both.
"""

from __future__ import annotations

import numpy as np

LARGEST = 127  # -128 is left out, so that the range is symmetric


def scales(largest: np.ndarray) -> np.ndarray:
    """largest: [d] the largest absolute value of each dimension -> [d] float32, above 0.

    A dimension that is always 0 has the scale 1.
    """
    smallest = np.finfo(np.float32).tiny
    found = np.maximum(np.asarray(largest, dtype=np.float64) / LARGEST, smallest)
    return np.where(np.asarray(largest) > 0, found, 1.0).astype(np.float32)


def quantise(x: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """x: [n, d] numbers, scale: [d] -> [n, d] int8; what lies beyond the range is cut to it."""
    steps = np.rint(x.astype(np.float32, copy=False) / scale)
    return np.clip(steps, -LARGEST, LARGEST).astype(np.int8)


def dequantise(q: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """q: [n, d] int8, scale: [d] float32 -> [n, d] float32."""
    return q.astype(np.float32) * scale.astype(np.float32, copy=False)
