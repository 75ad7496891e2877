"""Artifacts: folders of Parquet files with a manifest.json, which is written last."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from rmlab.errors import InputError
from rmlab.storage.files import read_parquet
from rmlab.storage.integrity import first_damage
from rmlab.storage.manifest import (
    COPY,
    MANIFEST,
    WORK,
    FileRecord,
    InputRecord,
    Manifest,
    damaged,
    read_manifest,
)


@dataclass(frozen=True)
class Artifact:
    path: Path
    manifest: Manifest

    @property
    def parts(self) -> list[Path]:
        return [self.path / f.name for f in self._parts]

    @property
    def part_rows(self) -> list[int]:
        return [f.rows for f in self._parts]

    @property
    def _parts(self) -> list[FileRecord]:
        return [f for f in self.manifest.files if f.name.startswith("part-")]

    def read(self, table: str = "part", columns: list[str] | None = None) -> pa.Table:
        """Reads a whole table: all parts, or the one file with the table's name."""
        if table != "part":
            return read_parquet(self.path / f"{table}.parquet", columns)
        return pa.concat_tables([read_parquet(p, columns) for p in self.parts]).combine_chunks()

    def stream(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        for part in self.parts:
            yield read_parquet(part, columns)


def folder_of(stage: Path, fingerprint: str) -> Path | None:
    """The artifact with this fingerprint in the folder of a stage, finished or begun, whatever its name."""
    return next(iter(sorted(stage.glob(f"[!.]*-{glob.escape(fingerprint[:16])}"))), None)


def upstream(path: Path, record: InputRecord) -> Path:
    """The folder of an input, which may have been made again under another name since.

    Links in the path are not followed, since the target of a link has other neighbours.
    """
    place = Path(os.path.normpath(path.absolute() / record.path))
    return place if place.is_dir() else folder_of(place.parent, record.fingerprint) or place


def open_artifact(path: Path) -> Artifact:
    """Opens a finished artifact; InputError if it is absent, unfinished or damaged."""
    artifact = Artifact(path, finished(path))
    if found := first_damage(path, artifact.manifest.files):
        raise InputError(damaged(path / found.name, found.why, path))
    return artifact


def finished(path: Path) -> Manifest:
    """The manifest of a finished artifact, without a look at its files."""
    if not path.is_dir():
        raise InputError(f"{path} is not an artifact: no such folder")
    if is_unfinished(path):
        raise InputError(f"{path} is not finished: it has no {MANIFEST}; run its stage again")
    return read_manifest(path)


def is_unfinished(path: Path) -> bool:
    """True if its manifest is not yet written. If only the copy is there, a finished artifact has lost it."""
    has_lost_it = (path / COPY).is_file() and not (path / WORK).is_dir()
    return not (path / MANIFEST).is_file() and not has_lost_it
