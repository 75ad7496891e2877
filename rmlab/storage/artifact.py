"""Artifacts: folders of Parquet files with a manifest.json, which is written last."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from rmlab.errors import InputError
from rmlab.storage.files import is_withheld, read_parquet
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

    def read(
        self, table: str = "part", columns: list[str] | None = None, where: pc.Expression | None = None
    ) -> pa.Table:
        """Reads a table: all parts, or the one file with the table's name. where: the rows to keep."""
        if table != "part":
            return read_parquet(self.path / f"{table}.parquet", columns, where)
        return pa.concat_tables([read_parquet(p, columns, where) for p in self.parts]).combine_chunks()

    def stream(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        for part in self.parts:
            yield read_parquet(part, columns)


def artifacts_in(stage: Path) -> list[Path]:
    """The artifacts in the folder of a stage; the folder itself, where it cannot be read, stands for them."""
    try:
        found = sorted(p for p in stage.iterdir() if not p.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError:
        return [stage]
    return [place for place in found if _may_be_folder(place)]


def _may_be_folder(place: Path) -> bool:
    try:
        return place.is_dir()
    except OSError:
        return True


def folder_of(stage: Path, fingerprint: str) -> Path | None:
    """The artifact with this fingerprint in the folder of a stage, finished or begun, whatever its name."""
    name = _by_digits(stage).get(fingerprint[:_DIGITS])
    return stage / name if name else None


_DIGITS = 16  # of a fingerprint, at the end of the name of an artifact's folder
_SETTLED = 3 * 10**9  # nanoseconds after which a change of a folder has another time than the one before
_listings: dict[tuple[int, int], tuple[int, dict[str, str]]] = {}


def _by_digits(stage: Path) -> dict[str, str]:
    """The first name in the folder of a stage for each digits at the end of names.

    A folder that has not changed since it was listed is not listed again, so that a look at thousands of
    artifacts lists each stage once.
    """
    try:
        seen = stage.stat()
        place = seen.st_dev, seen.st_ino
        if place in _listings and _listings[place][0] == seen.st_mtime_ns:
            return _listings[place][1]
        asked = time.time_ns()
        names = sorted((p.name for p in stage.iterdir() if not p.name.startswith(".")), reverse=True)
        split = ((name, name.rpartition("-")) for name in names)
        found = {digits: name for name, (head, _, digits) in split if head}
    except OSError:
        return {}
    if asked - seen.st_mtime_ns > _SETTLED:
        _listings[place] = seen.st_mtime_ns, found
    return found


def upstream(path: Path, record: InputRecord) -> Path:
    """The folder of an input, which may have been made again under another name since.

    Links in the path are not followed, since the target of a link has other neighbours.
    """
    place = Path(os.path.normpath(path.absolute() / record.path))
    with suppress(OSError):  # what cannot be read is said of the artifact there
        return place if place.is_dir() else folder_of(place.parent, record.fingerprint) or place
    return place


class Unreadable(InputError):
    """An artifact that the system does not let this process read, such as one of another user."""


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Within, what the system withholds of an artifact makes it Unreadable."""
    try:
        yield
    except OSError as error:
        if not is_withheld(error):
            raise
        where, why = error.filename or path, error.strerror or type(error).__name__
        raise Unreadable(
            f"{where} cannot be read ({why}); ask its owner for it, or give another out=FOLDER"
        ) from None


def open_artifact(path: Path) -> Artifact:
    """Opens a finished artifact; InputError if it is absent, unfinished, damaged or unreadable."""
    artifact = Artifact(path, finished(path))
    with readable(path):
        found = first_damage(path, artifact.manifest.files)
    if found:
        raise InputError(damaged(path / found.name, found.why, path))
    return artifact


def finished(path: Path) -> Manifest:
    """The manifest of a finished artifact, without a look at its files."""
    with readable(path):
        if not path.is_dir():
            raise InputError(f"{path} is not an artifact: no such folder")
        if is_unfinished(path):
            raise InputError(f"{path} is not finished: it has no {MANIFEST}; run its stage again")
        return read_manifest(path)


def is_unfinished(path: Path) -> bool:
    """True if its manifest is not yet written. If only the copy is there, a finished artifact has lost it."""
    has_lost_it = (path / COPY).is_file() and not (path / WORK).is_dir()
    return not (path / MANIFEST).is_file() and not has_lost_it
