"""The scales of vectors in 8 bits: Parquet rows of `dimension` and `scale`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rmlab.data.reader import read_rows
from rmlab.errors import InputError

_SMALLEST, _LARGEST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)


def read_scales(path: Path) -> np.ndarray:
    """[d] float32, by dimension: 0 to d - 1, each once, all above 0."""
    scale: dict[int, float] = {}
    for number, row in read_rows(path, ("dimension", "scale")):
        where = f"{path}, row {number}"
        dimension = _number(row.get("dimension"), "dimension", where)
        value = _number(row.get("scale"), "scale", where)
        if not _SMALLEST <= value <= _LARGEST:
            raise InputError(f"{where}: scale is {value}; scales are finite and above 0")
        if not dimension.is_integer() or dimension in scale:
            raise InputError(f"{where}: dimension {dimension:g} repeats, or is no whole number")
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
