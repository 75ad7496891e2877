"""A cell of a sweep: one head to fit and judge, and the data it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rmlab.settings import Settings


@dataclass(frozen=True)
class Cell:
    """fingerprint: of everything that decides the row; data: names the artifacts that the cell reads.

    axes: its value on each axis of the grid, as typed; an axis that does not concern it is not there.
    """

    fingerprint: str
    data: str
    axes: Mapping[str, str]
    settings: Settings


@dataclass(frozen=True)
class Known:
    """The row of a cell that was done before, and what was read for it: role -> content."""

    row: Mapping[str, Any]
    made_of: Mapping[str, str]

    def is_of(self, data: str, now: Mapping[str, str]) -> bool:
        """Whether what it was made of is what is there now."""
        roles = [role for role in now if role.endswith(f":{data}")]
        return all(self.made_of.get(role) == now[role] for role in roles)


@dataclass(frozen=True)
class Grid:
    """known: cells that were done before; made_by: data -> the overrides that make it."""

    cells: Sequence[Cell]
    axes: Sequence[str]
    workers: int
    known: Sequence[Known] = ()
    made_by: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def data(self) -> list[str]:
        return list(dict.fromkeys(cell.data for cell in self.cells))

    @property
    def left(self) -> list[Cell]:
        """Cells that were not done before."""
        known = {known.row["cell"] for known in self.known}
        return [cell for cell in self.cells if cell.fingerprint not in known]
