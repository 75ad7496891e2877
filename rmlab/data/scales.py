"""Vectors in 8 bits with one scale for each dimension, and the reader of the table of scales.

    x[i, k] ≈ q[i, k] · scale[k],   q = round(x / scale) in -127 … 127,   scale[k] = max_i |x[i, k]| / 127

Every value fits, so the error is at most half a step. A scale from a quantile would make the steps finer and
cut the largest values; scripts/bench/int8.py measures both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rmlab.data.reader import read_rows
from rmlab.errors import InputError

LARGEST = 127  # -128 is left out, so that the range is symmetric


def scales(largest: np.ndarray) -> np.ndarray:
    """The scale of each dimension, [d] float32 above 0, from its largest absolute value, [d].

    A dimension that is always 0 has the scale 1.
    """
    smallest = np.finfo(np.float32).tiny
    found = np.maximum(np.asarray(largest, dtype=np.float64) / LARGEST, smallest)
    return np.where(np.asarray(largest) > 0, found, 1.0).astype(np.float32)


def quantise(x: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """x [n, d] and scale [d] to int8 [n, d]; values beyond the range are clipped."""
    steps = np.rint(x.astype(np.float32, copy=False) / scale)
    return np.clip(steps, -LARGEST, LARGEST).astype(np.int8)


def dequantise(q: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """q [n, d] int8 and scale [d] float32 to the vectors, [n, d] float32."""
    return q.astype(np.float32) * scale.astype(np.float32, copy=False)


_SMALLEST, _LARGEST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)


def read_scales(path: Path) -> np.ndarray:
    """Reads a table of scales, [d] float32; dimensions are 0 to d - 1, each once, and scales above 0."""
    scale: dict[int, float] = {}
    for number, row in read_rows(path, ("dimension", "scale")):
        where = f"{path}, row {number}"
        dimension = _number(row.get("dimension"), "dimension", where)
        value = _number(row.get("scale"), "scale", where)
        if not _SMALLEST <= value <= _LARGEST:
            raise InputError(f"{where}: scale is {value}; scales are finite and above 0")
        if not dimension.is_integer() or dimension in scale:
            raise InputError(f"{where}: dimension {dimension:g} repeats, or is not a whole number")
        scale[int(dimension)] = value
    if sorted(scale) != list(range(len(scale))):
        raise InputError(f"{path}: dimensions are not 0 to {len(scale) - 1}, each once")
    return np.array([scale[k] for k in range(len(scale))], dtype=np.float32)


def _number(value: Any, column: str, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{where}: '{column}' is {value!r}, not a number")
    try:
        return float(value)
    except OverflowError:
        raise InputError(f"{where}: '{column}' is too large a number") from None
