"""Making small sets, and changing one table of a set with its record."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from small_settings import SMALL

from rmlab.commands.release import release_command
from rmlab.storage.digest import file_digest

A = "release.policies=['a: generation_seed=0']"
TWO = (
    "release.policies=['a: generation_seed=0','b: generation_seed=1']",
    "release.embedders=['wide: embedder.dimension=64','narrow: embedder.dimension=40']",
)
DEFAULTS = (*SMALL, "sft=none", "release.license=CC-BY-4.0")


def release(artifacts: Path, out: Path, *overrides: str) -> Path:
    release_command(out, [*DEFAULTS, f"out={artifacts}", *overrides], False, True, False, None)
    return out


def change_record(folder: Path, how: Callable[[dict[str, Any]], None]) -> None:
    record = json.loads((folder / "set.json").read_text())
    how(record)
    (folder / "set.json").write_text(json.dumps(record))


def sign(folder: Path, name: str, rows: int | None = None) -> None:
    """Writes the file's own size and checksum into set.json; rows: as they were, if not given."""

    def known(record: dict[str, Any]) -> None:
        file = record["files"][name]
        file |= {"bytes": (folder / name).stat().st_size, "sha256": file_digest(folder / name)}
        file["rows"] = file["rows"] if rows is None else rows

    change_record(folder, known)


def change_table(folder: Path, name: str, how: Callable[[pa.Table], pa.Table]) -> None:
    """Rewrites a table, and signs it as if it had always been so."""
    table = how(pq.read_table(folder / name))
    pq.write_table(table, folder / name)
    sign(folder, name, table.num_rows)


def put(column: str, row: int, value: Any) -> Callable[[pa.Table], pa.Table]:
    """Another value in one row."""

    def how(table: pa.Table) -> pa.Table:
        values = table[column].to_pylist()
        values[row] = value(values[row]) if callable(value) else value
        kind = table.schema.field(column).type
        at = table.schema.get_field_index(column)
        return table.set_column(at, pa.field(column, kind), pa.array(values, kind))

    return how
