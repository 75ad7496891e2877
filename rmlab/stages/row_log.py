"""Rows of a sweep that is under way, kept so that an interrupted one goes on at the cell."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmlab.artifacts.manifest import WORK
from rmlab.artifacts.sealed import sealed, unsealed

Row = dict[str, Any]


@dataclass(frozen=True)
class RowLog:
    """One JSON object a line, with its digest; a line that a crash cut off or rot spoilt is not there."""

    file: Path

    @classmethod
    def of(cls, artifact: Path) -> RowLog:
        """In the working folder of an artifact, which goes when the artifact is finished."""
        return cls(artifact / WORK / "rows.jsonl")

    def done(self) -> dict[str, Row]:
        """Rows by cell, but for those that failed, which are tried again."""
        if not self.file.is_file():
            return {}
        rows = map(unsealed, self.file.read_bytes().split(b"\n"))
        return {row["cell"]: row for row in rows if row is not None and row["state"] == "ok"}

    def mend(self) -> None:
        """Takes away a last line that was cut off: what comes next must not stand on the same one."""
        if self.file.is_file():
            cut_off = self.file.read_bytes().rpartition(b"\n")[2]
            os.truncate(self.file, self.file.stat().st_size - len(cut_off))

    def append(self, rows: Iterable[Row]) -> None:
        lines = [json.dumps(sealed(row), ensure_ascii=False, allow_nan=False) + "\n" for row in rows]
        with self.file.open("ab") as file:
            file.write("".join(lines).encode())
