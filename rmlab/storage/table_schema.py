"""The description of a table: its columns with types and meaning, its key, and the files that hold it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

Row = dict[str, Any]  # a row of a table, by the names of its columns


@dataclass(frozen=True)
class Column:
    name: str
    type: pa.DataType
    meaning: str
    nullable: bool = False


def text(name: str, meaning: str, nullable: bool = False) -> Column:
    return Column(name, pa.string(), meaning, nullable)


def number(name: str, meaning: str, nullable: bool = False) -> Column:
    return Column(name, pa.float64(), meaning, nullable)


def whole(name: str, meaning: str, nullable: bool = False) -> Column:
    return Column(name, pa.int64(), meaning, nullable)


def flag(name: str, meaning: str, nullable: bool = False) -> Column:
    return Column(name, pa.bool_(), meaning, nullable)


def ends(of: str, name: str = "") -> tuple[Column, Column]:
    """The columns of the two ends of an interval. of: the interval; name: begins the names of the columns."""
    return number(f"{name}low", f"lower end of {of}"), number(f"{name}high", "upper end")


@dataclass(frozen=True)
class Table:
    """The description of a table. files: pattern of the files that hold it in the artifact of its stage."""

    name: str
    stage: str
    files: str
    key: tuple[str, ...]
    meaning: str
    columns: tuple[Column, ...]

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([pa.field(c.name, c.type, nullable=c.nullable) for c in self.columns])
