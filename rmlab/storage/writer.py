"""Writing an artifact: parts appear whole, the manifest comes last, a lock keeps others out.

An artifact that is there already stays until the new one, which is built beside it, is whole.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rmlab.errors import InputError, RmlabError
from rmlab.removal import (
    move,
    open_to_others,
    refuse_link,
    refuse_links_in,
    remove_file,
    remove_listed,
    remove_scratch,
    replace_file,
    set_aside,
    some,
)
from rmlab.storage.digest import file_digest, read_sealed, write_sealed
from rmlab.storage.files import write_parquet
from rmlab.storage.integrity import digest_once, mark_whole
from rmlab.storage.locks import locked
from rmlab.storage.manifest import COPY, MANIFEST, WORK, FileRecord, Manifest, write_manifest
from rmlab.storage.owned import (
    BEGUN,
    LOCK,
    LOST_WORK,
    begun_with,
    foreign,
    has_lost_work,
    is_part,
    own_files,
    parts_in,
    was_begun,
)
from rmlab.storage.replacement import finish, is_unsettled, replaced, replacement_of, settle
from rmlab.storage.table_schema import Table

_SHARDS, _DAMAGED, _MADE = "shards.json", "damaged", "made"


class Writer:
    """Writes one artifact. Collects counts, metrics and warnings for the manifest.

    path: the folder that is written to: the artifact's, which is `target`, or that of its replacement.
    """

    def __init__(self, path: Path) -> None:
        self.path = self.target = path
        self.counts: dict[str, int | float] = {}
        self.metrics: dict[str, Any] = {}
        self.warnings: list[str] = []

    @property
    def work(self) -> Path:
        """Scratch folder that survives an interruption."""
        folder = self.path / WORK
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def output(self, name: str) -> Path:
        """The place to write a file or folder that is no part; it gets into the artifact at the end."""
        folder = self.work / _MADE
        folder.mkdir(exist_ok=True)
        return folder / name

    def add(self, counts: dict[str, int | float]) -> None:
        for key, value in counts.items():
            self.counts[key] = self.counts.get(key, 0) + value

    def table(self, table: Table, data: pa.Table) -> None:
        write_parquet(self.output(f"{table.name}.parquet"), data.cast(table.schema))

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
        replace_file(whole, self.path / part_name(index))

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
        for place in (self.path, replacement_of(self.target)):
            manifests = [f for name in (MANIFEST, COPY) for f in place.glob(f".{name}.*.tmp")]
            for leftover in [*manifests, *(place / WORK).rglob(".*.tmp")]:
                remove_file(leftover)

    def shard_size(self, wanted: int) -> int:
        """Returns the rows of a shard: as an interrupted run had them, else as they are wanted now.

        Where it cannot be told any more, the parts that are there are of no use.
        """
        known = self.rows_per_shard
        if known is None:
            remove_listed(self.path, parts_in(self.path))
            write_sealed(self.work / _SHARDS, wanted)
        return known or wanted

    @property
    def rows_per_shard(self) -> int | None:
        """None where it is the inputs that decide which rows a part has."""
        return read_sealed(self.path / WORK / _SHARDS)

    def begin(self, made_of: Mapping[str, str], replaces: bool = False) -> None:
        """made_of: what the inputs hold. What was begun of others goes: parts of two would be mixed.

        replaces: the artifact that is there stays until the new one, which is built beside it, is finished.
        """
        if replaces:
            self.path = replacement_of(self.target)
            self.path.mkdir(exist_ok=True)
        if not was_begun(self.path) and (found := foreign(self.path)):
            why = f" ({LOST_WORK})" if has_lost_work(self.path) else ""
            raise InputError(
                f"{self.path} holds {some(found)}, which no record of rmlab names{why}; move that elsewhere, "
                "or give another out=FOLDER, and run the same command again"
            )
        if begun_with(self.path) != dict(made_of):
            self.discard()
            write_sealed(self.work / BEGUN, dict(made_of))
        remove_scratch(self.work / _MADE)
        self._take_back()

    def discard(self) -> None:
        """Removes the parts that were begun, and all that only serves to go on with them."""
        remove_listed(self.path, parts_in(self.path))
        for entry in self.work.iterdir():
            if entry.is_dir() and entry.name != _DAMAGED:
                remove_scratch(entry)
            elif entry.is_file() and entry.name != BEGUN:
                remove_file(entry)

    def _take_back(self) -> None:
        """Removes what is no part of what a process that was killed at the very end had put in its place."""
        remove_listed(
            self.path, [name for name in own_files(self.path) if name != LOCK and not is_part(name)]
        )

    def remove(self) -> list[str]:
        """Removes the artifact, finished or begun; returns the names of files that are not its own, and stay.

        What says that it is rmlab's goes last, so that an interrupted removal can be ended.
        """
        if was_begun(self.path):
            self.discard()
            self._take_back()
            remove_scratch(self.path / WORK / _DAMAGED)
        if not foreign(self.path) or was_begun(self.path) or own_files(self.path):
            remove_scratch(self.path / WORK)
        remove_listed(self.path, own_files(self.path))
        left = foreign(self.path)
        remove_listed(self.path, [LOCK])
        return left

    def reopen(self, manifest: Manifest | None, bad: Collection[str]) -> None:
        """Makes of a finished artifact one that was begun, which lacks the bad parts; the next run goes on.

        Bad parts and the manifest are set aside in the working folder, which goes when the artifact is
        finished again. What is not made in parts, or has lost its manifest, is all made again.
        The manifest goes last: whatever ends this early leaves an artifact that lacks parts, and says so.
        """
        names = list(bad)
        if manifest and manifest.is_in_parts:
            for record in manifest.files:
                if record.name not in bad:
                    self._keep(record, manifest)
            if manifest.rows_per_shard is not None:
                write_sealed(self.work / _SHARDS, manifest.rows_per_shard)
        elif manifest:
            names = [record.name for record in manifest.files]
        write_sealed(self.work / BEGUN, manifest.made_of if manifest else None)
        for name in (*names, COPY, MANIFEST):
            self._set_bad_aside(name)

    def _set_bad_aside(self, name: str) -> None:
        """Moves what is no file aside, since it is somebody else's."""
        file, aside = self.path / name, self.work / _DAMAGED / name
        if file.is_symlink() or file.is_dir():
            set_aside(file)
        elif file.is_file():
            aside.parent.mkdir(parents=True, exist_ok=True)
            replace_file(file, aside)

    def _keep(self, part: FileRecord, of: Manifest) -> None:
        known = {"counts": part.counts, "metrics": of.metrics, "rows": part.rows, "sha256": part.sha256}
        write_sealed(self._beside(_index(part.name)), known)

    def commit(self, manifest: Callable[[list[FileRecord]], Manifest]) -> None:
        """Finishes the artifact. First the copy of the manifest names what is then put in its place."""
        made = self.output("")
        open_to_others(made)
        outputs = [self._record(p, made) for p in sorted(made.rglob("*")) if _counts(p, made)]
        parts = [self._part_record(name) for name in parts_in(self.path) if self._known(_index(name))]
        files = sorted([*parts, *outputs], key=lambda record: Path(record.name))
        written = manifest(files)
        write_manifest(self.path, written, [COPY])
        for entry in made.iterdir():
            set_aside(self.path / entry.name)
            move(entry, self.path / entry.name)
        write_manifest(self.path, written, [MANIFEST])
        remove_scratch(self.path / WORK)
        if self.path != self.target:
            finish(self.target)
        mark_whole(self.target, files)

    def _part_record(self, name: str) -> FileRecord:
        """A part was counted and hashed when it was written, while the next was computed."""
        known = self._known(_index(name))
        size = (self.path / name).stat().st_size
        return FileRecord(name, size, **{k: known[k] for k in ("sha256", "rows", "counts")})

    def _record(self, path: Path, root: Path) -> FileRecord:
        rows = pq.read_metadata(path).num_rows if path.suffix == ".parquet" else 0
        name = path.relative_to(root).as_posix()
        return FileRecord(name, path.stat().st_size, file_digest(path), rows)


def part_name(index: int) -> str:
    return f"part-{index:05d}.parquet"


def _index(name: str) -> int:
    return int(name.removeprefix("part-").removesuffix(".parquet"))


def _counts(path: Path, root: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
    return path.is_file() and not hidden


def tidy(path: Path) -> None:
    """Ends what a process that was killed at the very end left to do at a finished artifact."""
    if (path / WORK).is_dir() or is_unsettled(path):
        with suppress(RmlabError, OSError), writing(path):
            if (path / MANIFEST).is_file():
                remove_scratch(path / WORK)


@contextmanager
def writing(path: Path) -> Iterator[Writer]:
    """Opens an artifact directory for writing, for this process alone."""

    def busy() -> None:
        raise RmlabError(f"another rmlab process is writing {path.name}; wait for it, then run this again")

    for folder in (path, replacement_of(path), replaced(path)):
        refuse_link(folder)
        refuse_links_in(folder / WORK)
    settle(path, busy)
    path.mkdir(parents=True, exist_ok=True)
    with locked(path / LOCK, busy):
        writer = Writer(path)
        writer.remove_leftovers()
        yield writer
