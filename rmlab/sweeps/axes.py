"""The values on the axes of a sweep as the table of results holds them: numbers where all values are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from rmlab.config.hydra import Override
from rmlab.errors import ConfigError
from rmlab.pipeline.node import Grid

_LARGEST = 2**63


@dataclass(frozen=True)
class AxisValues:
    """type: that of the axis's column; of: the value of each text that was typed."""

    type: pa.DataType
    of: Mapping[str, Any]


def axis_values(grid: Grid) -> dict[str, AxisValues]:
    """The values on each axis of a grid, by the axis's name."""
    return {axis: typed(c.axes[axis] for c in grid.cells if axis in c.axes) for axis in grid.axes}


def typed(texts: Iterable[str]) -> AxisValues:
    """The texts as whole numbers, numbers or truth values, where all of them are; else as they are.

    null is no number, so that a column of numbers has none where the axis does not concern a cell.
    """
    values = {text: _value(text) for text in texts}
    kinds = {type(value) for value in values.values()}
    if kinds == {bool}:
        return AxisValues(pa.bool_(), values)
    is_whole = kinds == {int}
    if is_whole and all(-_LARGEST <= value < _LARGEST for value in values.values()):
        return AxisValues(pa.int64(), values)
    if kinds and kinds <= {int, float} and not is_whole:
        return AxisValues(pa.float64(), {text: float(value) for text, value in values.items()})
    return AxisValues(pa.string(), {text: text for text in values})


def _value(text: str) -> Any:
    """The value that a text stands for on the command line."""
    try:
        return Override.parse(f"axis={text}").value
    except ConfigError:  # a text whose quotes were taken off
        return text
