"""Writing an artifact: parts and tables appear whole, the manifest comes last, a lock keeps others out."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rmlab.artifacts.artifact import FileRecord, Manifest
from rmlab.artifacts.files import write_json, write_parquet
from rmlab.artifacts.fingerprint import file_digest
from rmlab.artifacts.schemas import Table
from rmlab.errors import RmlabError

_WORK = ".work"  # what a stage may keep for its own resumption; gone when it is done
_SHARDS = "shards.json"


class Writer:
    """Writes into one artifact directory. Collects counts, metrics and warnings for the manifest."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.counts: dict[str, int | float] = {}
        self.metrics: dict[str, Any] = {}
        self.warnings: list[str] = []

    @property
    def work(self) -> Path:
        """Scratch folder that survives an interruption."""
        folder = self.path / _WORK
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def add(self, counts: dict[str, int | float]) -> None:
        for key, value in counts.items():
            self.counts[key] = self.counts.get(key, 0) + value

    def table(self, table: Table, data: pa.Table) -> None:
        write_parquet(self.path / f"{table.name}.parquet", data.cast(table.schema))

    def part(
        self,
        index: int,
        data: pa.Table,
        counts: dict[str, int | float],
        metrics: dict[str, Any] | None = None,
    ) -> None:
        """One shard, with its counts and digest beside it, so that a resumed run reports the whole.

        metrics: as they were when it was computed; now, if not given.
        """
        whole = self.work / part_name(index)
        write_parquet(whole, data)
        known = {"counts": counts, "metrics": self.metrics if metrics is None else metrics}
        write_json(self._beside(index), {**known, "rows": data.num_rows, "sha256": file_digest(whole)})
        whole.replace(self.path / part_name(index))

    def has_part(self, index: int) -> bool:
        return (self.path / part_name(index)).is_file() and self._beside(index).is_file()

    def part_counts(self, index: int) -> dict[str, int | float]:
        record = json.loads(self._beside(index).read_text())
        self.metrics.update(record["metrics"])
        return record["counts"]

    def _beside(self, index: int) -> Path:
        return self.path / _WORK / f"counts-{index:05d}.json"

    def remove_leftovers(self) -> None:
        """What processes that were killed had begun to write."""
        for leftover in self.path.rglob(".*.tmp"):
            leftover.unlink(missing_ok=True)

    def shard_size(self, wanted: int) -> int:
        """Rows a shard: what an interrupted run began with, else what is wanted now."""
        file = self.work / _SHARDS
        if file.is_file():
            return int(json.loads(file.read_text())["rows_per_shard"])
        write_json(file, {"rows_per_shard": wanted})
        return wanted

    def commit(self, manifest: Callable[[list[FileRecord]], Manifest]) -> None:
        files = [self._record(p) for p in sorted(self.path.rglob("*")) if _counts(p, self.path)]
        write_json(self.path / "manifest.json", manifest(files).to_json())
        shutil.rmtree(self.path / _WORK, ignore_errors=True)

    def _record(self, path: Path) -> FileRecord:
        """A part was counted and hashed when it was written, while the next was computed."""
        name, size = path.relative_to(self.path).as_posix(), path.stat().st_size
        beside = self.path / _WORK / f"counts-{path.stem.removeprefix('part-')}.json"
        known = json.loads(beside.read_text()) if path.parent == self.path and beside.is_file() else {}
        if "sha256" in known:
            return FileRecord(name, size, known["sha256"], known["rows"])
        rows = pq.read_metadata(path).num_rows if path.suffix == ".parquet" else 0
        return FileRecord(name, size, file_digest(path), rows)


def part_name(index: int) -> str:
    return f"part-{index:05d}.parquet"


def _counts(path: Path, root: Path) -> bool:
    relative = path.relative_to(root)
    hidden = any(part.startswith(".") for part in relative.parts)
    return path.is_file() and not hidden and relative.name != "manifest.json"


@contextmanager
def writing(path: Path, fresh: bool = False) -> Iterator[Writer]:
    """Opens an artifact directory for writing, for this process alone; fresh: what it holds goes first."""
    path.mkdir(parents=True, exist_ok=True)
    with (path / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RmlabError(
                f"another rmlab process is writing {path.name}; wait for it, then run this again"
            ) from None
        if fresh:
            _empty(path)
        writer = Writer(path)
        writer.remove_leftovers()
        yield writer


def _empty(path: Path) -> None:
    """Removes all but the lock, the manifest first, so that half of it never looks whole."""
    (path / "manifest.json").unlink(missing_ok=True)
    for entry in path.iterdir():
        if entry.name == ".lock":
            continue
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
