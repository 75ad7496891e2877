"""A cell of a sweep: one head to fit and judge, and the data it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rmlab.settings import Settings


@dataclass(frozen=True)
class Cell:
    """fingerprint: of everything that decides the row; data: names the artifacts that the cell reads.

    axes: its value on each axis of the grid, as typed.
    """

    fingerprint: str
    data: str
    axes: Mapping[str, str]
    settings: Settings


@dataclass(frozen=True)
class Grid:
    """known: rows of cells that an earlier sweep has done."""

    cells: Sequence[Cell]
    workers: int
    known: Sequence[Mapping[str, Any]] = ()

    @property
    def data(self) -> list[str]:
        return list(dict.fromkeys(cell.data for cell in self.cells))
