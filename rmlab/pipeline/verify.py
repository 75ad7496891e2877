"""Whether the files of artifacts are those that were written, and which artifacts are stale."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rmlab.errors import InputError, RmlabError
from rmlab.models.weights import base_folder, find_model, is_adapter
from rmlab.paths import home_path, user_path
from rmlab.pipeline.node import code_identity, file_source
from rmlab.pipeline.stages import BY_NAME
from rmlab.storage.artifact import finished, is_unfinished, upstream
from rmlab.storage.digest import file_digest
from rmlab.storage.integrity import Damage, all_damage, forget, mark_whole
from rmlab.storage.manifest import COPY, MANIFEST, InputRecord, Manifest, OldFormat

State = Literal["whole", "stale", "damaged", "unfinished"]


@dataclass(frozen=True)
class Verified:
    """damage: one for each bad file; why: of a stale or unreadable artifact, in words."""

    path: Path
    state: State
    why: str = ""
    damage: Sequence[Damage] = ()
    manifest: Manifest | None = None

    @property
    def stage(self) -> str:
        return self.path.parent.name


def artifacts_of(out: Path) -> list[Path]:
    """All that lies in a folder of artifacts, what is read before what reads it."""
    stages = [stage for stage in BY_NAME if (out / stage).is_dir()]
    return [p for stage in stages for p in sorted((out / stage).glob("[!.]*")) if p.is_dir()]


def is_artifact(path: Path) -> bool:
    return path.parent.name in BY_NAME and path.is_dir()


def verify(path: Path, tick: Callable[[int], None], ages: Ages) -> Verified:
    """Reads every file of an artifact."""
    if is_unfinished(path):
        return Verified(path, "unfinished", "the command that began it goes on with it")
    try:
        manifest = finished(path)
    except OldFormat as error:
        return Verified(path, "stale", str(error))
    except InputError as error:
        return Verified(path, "damaged", str(error))
    if damage := [*all_damage(path, manifest.files, tick), *_damage_of_copy(path)]:
        why = f"{damage[0].name}: {damage[0].why}" + (
            f", and {len(damage) - 1} more files" if damage[1:] else ""
        )
        return Verified(path, "damaged", why, damage, manifest)
    mark_whole(path, manifest.files)
    why = ages.outdated(path)
    return Verified(path, "stale" if why else "whole", why, (), manifest)


def _damage_of_copy(path: Path) -> list[Damage]:
    """It is there for the day that the manifest is not."""
    try:
        is_whole = (path / COPY).read_bytes() == (path / MANIFEST).read_bytes()
    except OSError:
        is_whole = False
    return [] if is_whole else [Damage(COPY, "it is not what the manifest is")]


@dataclass(frozen=True)
class Ages:
    """Why artifacts are stale, by their own records of what they were made of; each is looked at once.

    thorough: files and models outside are read, even if nothing shows that they changed.
    """

    thorough: bool = False
    _read: set[str] = field(default_factory=set)
    _known: dict[Path, str] = field(default_factory=dict)

    def outdated(self, path: Path) -> str:
        if path not in self._known:
            self._known[path] = ""  # an artifact that says it is made of itself does not ask for ever
            self._known[path] = self._look(path)
        return self._known[path]

    def _look(self, path: Path) -> str:
        try:
            manifest = finished(path)
        except InputError as error:
            return str(error) if isinstance(error, OldFormat) else ""
        now = BY_NAME[manifest.stage].version if manifest.stage in BY_NAME else None
        if manifest.version != now:
            return f"its stage has version {now}, and it was made by version {manifest.version}"
        reasons = (self._of_input(path, manifest, record) for record in manifest.inputs)
        return next((reason for reason in reasons if reason), "")

    def _of_input(self, path: Path, manifest: Manifest, record: InputRecord) -> str:
        if record.kind != "artifact":
            return f"{record.name} has changed since" if self._has_changed(record, manifest) else ""
        place = upstream(path, record)
        try:
            made = finished(place)
        except InputError:  # gone, unfinished or damaged: made again, it is compared with what was read
            return ""
        if made.fingerprint != record.fingerprint or made.content != record.content:
            return f"its input {record.name} was made again since, and holds something else"
        why = self.outdated(place)
        return f"its input {record.name} is stale: {why}" if why else ""

    def _has_changed(self, record: InputRecord, manifest: Manifest) -> bool:
        """False where it cannot be told: the source is gone, or is no file or folder."""
        try:
            places = _places(record, Path(manifest.folder))
            if self.thorough:
                for place in {str(p) for p in places} - self._read:
                    forget(Path(place))
                    self._read.add(place)
            return bool(places) and record.fingerprint not in _identities(record, places)
        except (RmlabError, OSError):
            return False


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


def _identities(record: InputRecord, places: Sequence[Path]) -> list[str]:
    """What the source is now; a component's code is named by its one file, a function's by all of its."""
    files = [str(place) for place in places]
    if record.kind == "model":
        return [find_model(files[0]).identity]
    if record.kind == "code":
        return [code_identity(files), f"sha256:{file_digest(places[0])}"]
    return [file_source(record.name).identity]
