"""Verifying artifacts without their settings: every file against its digest, and what they were made of."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rmlab.errors import InputError, RmlabError
from rmlab.models.weights import base_folder, find_model, is_adapter
from rmlab.paths import home_path, user_path
from rmlab.pipeline.node import file_source
from rmlab.pipeline.own_code import code_identity
from rmlab.pipeline.packages import ABSENT, identity_like
from rmlab.pipeline.stages import BY_NAME
from rmlab.pipeline.state import Ages
from rmlab.storage.artifact import Unreadable, artifacts_in, finished, is_unfinished, readable, upstream
from rmlab.storage.files import is_withheld
from rmlab.storage.integrity import Damage, all_damage, forget, mark_whole
from rmlab.storage.manifest import COPY, MANIFEST, InputRecord, Manifest, OldFormat
from rmlab.storage.owned import LOST_WORK, has_lost_work

Condition = Literal["whole", "stale", "damaged", "unfinished", "unreadable"]


@dataclass(frozen=True)
class Verified:
    """damage: one for each bad file, and for the copy of the manifest where a whole artifact lacks it.

    why: the state in words; again: the command after a repair.
    """

    path: Path
    state: Condition
    why: str = ""
    damage: Sequence[Damage] = ()
    manifest: Manifest | None = None
    again: str = ""

    @property
    def stage(self) -> str:
        return next((p.name for p in (self.path.parent, self.path) if p.name in BY_NAME), "")


def artifacts_of(out: Path) -> list[Path]:
    """All that lies in a folder of artifacts, what is read before what reads it."""
    return [place for stage in BY_NAME for place in artifacts_in(out / stage)]


def is_artifact(path: Path) -> bool:
    return path.parent.name in BY_NAME and path.is_dir()


def verify(path: Path, tick: Callable[[int], None], ages: Ages) -> Verified:
    """Reads every file of an artifact."""
    try:
        with readable(path):
            os.scandir(path).close()
            return _verified(path, tick, ages)
    except Unreadable as error:
        return Verified(path, "unreadable", str(error))


def _verified(path: Path, tick: Callable[[int], None], ages: Ages) -> Verified:
    if is_unfinished(path):
        why = LOST_WORK if has_lost_work(path) else _BEGUN
        return Verified(path, "unfinished", why)
    try:
        manifest = finished(path)
    except OldFormat as error:
        return Verified(path, "stale", str(error))
    except Unreadable:
        raise
    except InputError as error:
        return Verified(path, "damaged", str(error))
    lacks = [] if (path / COPY).exists() else [Damage(COPY, "it is missing")]
    if damage := [*all_damage(path, manifest.files, tick), *([] if lacks else _damage_of_copy(path))]:
        why = f"{damage[0].name}: {damage[0].why}" + (
            f", and {len(damage) - 1} more files" if damage[1:] else ""
        )
        return Verified(path, "damaged", why, damage, manifest)
    mark_whole(path, manifest.files)
    why = ages.outdated(path, manifest)
    return Verified(path, "stale" if why else "whole", why or (_LACKS_COPY if lacks else ""), lacks, manifest)


_BEGUN = "the command that began it goes on with it; `rmlab clean` removes it"
_LACKS_COPY = (
    "it has no copy of its manifest, as after a transfer that skips hidden files; --repair writes it"
)


def _damage_of_copy(path: Path) -> list[Damage]:
    """It is there for the day that the manifest is not."""
    try:
        is_whole = (path / COPY).read_bytes() == (path / MANIFEST).read_bytes()
    except OSError as error:
        if is_withheld(error):
            raise
        is_whole = False
    return [] if is_whole else [Damage(COPY, "it is not what the manifest is")]


@dataclass(frozen=True)
class Sources:
    """The files, models and code outside that artifacts were made of, as they are now.

    thorough: they are read, even if nothing shows that they changed; each once.
    """

    thorough: bool = False
    _read: set[Path] = field(default_factory=set)

    def has_changed(self, record: InputRecord, manifest: Manifest) -> bool:
        """False where it cannot be told: the source is gone, or is no file or folder."""
        try:
            if record.kind == "package":
                return identity_like(record.fingerprint, record.name) not in (ABSENT, record.fingerprint)
            places = _places(record, Path(manifest.folder))
            for place in set(places) - self._read if self.thorough else ():
                forget(place)
                self._read.add(place)
            return bool(places) and record.fingerprint != _identity(record, places)
        except (RmlabError, OSError):
            return False


def lost_input(path: Path, manifest: Manifest) -> str:
    """Says which input of an artifact is gone, without which its parts cannot be made again; else ""."""
    folder = Path(manifest.folder)
    for record in manifest.inputs:
        if record.kind == "artifact":
            places = [upstream(path, record)]
        elif record.kind == "model" and record.fingerprint.startswith("folder:"):
            places = [folder / home_path(record.name)]
        else:
            places = _places(record, folder)
        if gone := [place for place in places if not place.exists()]:
            return f"its input {record.name} is gone ({gone[0]} is not there)"
    return ""


def outdated(path: Path) -> str:
    """Why an artifact is stale, by its own records alone and by what it was made of; else ""."""
    return Ages(Sources().has_changed).outdated(path)


def _places(record: InputRecord, folder: Path) -> list[Path]:
    """The files or folders of a source; folder: that the command was given in."""
    if record.kind == "model":
        local = folder / home_path(record.name)
        if not record.fingerprint.startswith("folder:") or not local.is_dir():
            return []
        return [local, base_folder(local)] if is_adapter(local) else [local]
    if record.kind == "code":
        return [folder / name for name in record.path.split(os.pathsep)]
    return [user_path(record.name)] if record.kind in ("file", "folder") else []


def _identity(record: InputRecord, places: Sequence[Path]) -> str:
    """The identity that the source has now."""
    if record.kind == "model":
        return find_model(str(places[0])).identity
    if record.kind == "code":
        return code_identity([str(place) for place in places])
    return file_source(record.name).identity
