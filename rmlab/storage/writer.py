"""Writing an artifact: parts and tables appear whole, the manifest comes last, a lock keeps others out."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rmlab.errors import RmlabError
from rmlab.storage.digest import file_digest, read_sealed, write_sealed
from rmlab.storage.files import remove, write_parquet
from rmlab.storage.integrity import digest_once, mark_whole
from rmlab.storage.locks import locked
from rmlab.storage.manifest import COPY, MANIFEST, WORK, FileRecord, Manifest, write_manifest
from rmlab.storage.schemas import Table

_LOCK, _SHARDS, _BEGUN = ".lock", "shards.json", "begun.json"


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
        folder = self.path / WORK
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
        write_sealed(self._beside(index), {**known, "rows": data.num_rows, "sha256": file_digest(whole)})
        whole.replace(self.path / part_name(index))

    def has_part(self, index: int) -> bool:
        """Tells whether an earlier run wrote the part, and it still is what was written."""
        part = self.path / part_name(index)
        return part.is_file() and self._known(index).get("sha256") == digest_once(part)

    def part_counts(self, index: int) -> dict[str, int | float]:
        record = self._known(index)
        self.metrics.update(record["metrics"])
        return record["counts"]

    def _known(self, index: int) -> dict[str, Any]:
        return read_sealed(self._beside(index)) or {}

    def _beside(self, index: int) -> Path:
        return self.path / WORK / f"counts-{index:05d}.json"

    def remove_leftovers(self) -> None:
        """Removes the files that processes that were killed had begun to write."""
        for leftover in self.path.rglob(".*.tmp"):
            leftover.unlink(missing_ok=True)

    def shard_size(self, wanted: int) -> int:
        """Returns the rows of a shard: as an interrupted run had them, else as they are wanted now.

        Where it cannot be told any more, the parts that are there are of no use.
        """
        known = self.rows_per_shard
        if known is None:
            for part in self.path.glob("part-*.parquet"):
                part.unlink()
            write_sealed(self.work / _SHARDS, wanted)
        return known or wanted

    @property
    def rows_per_shard(self) -> int | None:
        """None where it is the inputs that decide which rows a part has."""
        return read_sealed(self.path / WORK / _SHARDS)

    def begin(self, made_of: Mapping[str, str], afresh: bool = False) -> None:
        """made_of: what the inputs hold. What was begun of others goes: parts of two would be mixed."""
        if afresh or begun_with(self.path) != dict(made_of):
            self.empty()
            write_sealed(self.work / _BEGUN, dict(made_of))

    def empty(self) -> None:
        """Removes all but the lock, the manifest first, so that half of it never looks whole.

        The copy goes before it: alone it would say that the manifest was lost.
        """
        for entry in [self.path / COPY, self.path / MANIFEST, *self.path.iterdir()]:
            if entry.name != _LOCK:
                remove(entry)

    def reopen(self, manifest: Manifest | None, bad: Collection[str]) -> None:
        """Makes of a finished artifact one that was begun, which lacks the bad parts; the next run goes on.

        Bad parts and the manifest are set aside in the working folder, which goes when the artifact is
        finished again. What is not made in parts, or has lost its manifest, is all made again.
        The manifest goes last: whatever ends this early leaves an artifact that lacks parts, and says so.
        """
        aside = self.work / "damaged"
        aside.mkdir(exist_ok=True)
        in_parts = manifest is not None and manifest.is_in_parts
        if manifest and in_parts:
            for record in manifest.files:
                if record.name not in bad:
                    self._keep(record, manifest)
            if manifest.rows_per_shard is not None:
                write_sealed(self.work / _SHARDS, manifest.rows_per_shard)
            write_sealed(self.work / _BEGUN, manifest.made_of)
        for name in (*(bad if in_parts else ()), COPY, MANIFEST):
            with suppress(FileNotFoundError):
                remove(aside / name)
                (self.path / name).rename(aside / name)

    def _keep(self, part: FileRecord, of: Manifest) -> None:
        known = {"counts": part.counts, "metrics": of.metrics, "rows": part.rows, "sha256": part.sha256}
        write_sealed(self._beside(_index(part.name)), known)

    def commit(self, manifest: Callable[[list[FileRecord]], Manifest]) -> None:
        files = [self._record(p) for p in sorted(self.path.rglob("*")) if _counts(p, self.path)]
        mark_whole(self.path, files)
        write_manifest(self.path, manifest(files))
        shutil.rmtree(self.path / WORK, ignore_errors=True)

    def _record(self, path: Path) -> FileRecord:
        """A part was counted and hashed when it was written, while the next was computed."""
        name, size = path.relative_to(self.path).as_posix(), path.stat().st_size
        is_part = path.parent == self.path and path.name.startswith("part-")
        if is_part and (known := self._known(_index(path.name))):
            return FileRecord(name, size, **{k: known[k] for k in ("sha256", "rows", "counts")})
        rows = pq.read_metadata(path).num_rows if path.suffix == ".parquet" else 0
        return FileRecord(name, size, file_digest(path), rows)


def begun_with(path: Path) -> dict[str, str] | None:
    """Returns what the inputs of an unfinished artifact held when it was begun."""
    return read_sealed(path / WORK / _BEGUN)


def part_name(index: int) -> str:
    return f"part-{index:05d}.parquet"


def _index(name: str) -> int:
    return int(name.removeprefix("part-").removesuffix(".parquet"))


def _counts(path: Path, root: Path) -> bool:
    relative = path.relative_to(root)
    hidden = any(part.startswith(".") for part in relative.parts)
    return path.is_file() and not hidden and relative.name != MANIFEST


def tidy(path: Path) -> None:
    """Removes what a process that was killed at the very end left behind in a finished artifact."""
    if (path / WORK).is_dir():
        with suppress(RmlabError, OSError), writing(path):
            if (path / MANIFEST).is_file():
                shutil.rmtree(path / WORK, ignore_errors=True)


@contextmanager
def writing(path: Path) -> Iterator[Writer]:
    """Opens an artifact directory for writing, for this process alone."""

    def busy() -> None:
        raise RmlabError(f"another rmlab process is writing {path.name}; wait for it, then run this again")

    path.mkdir(parents=True, exist_ok=True)
    with locked(path / _LOCK, busy):
        writer = Writer(path)
        writer.remove_leftovers()
        yield writer
