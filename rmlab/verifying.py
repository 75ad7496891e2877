"""Whether artifacts are whole, byte for byte, and still what their inputs would give."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rmlab.artifacts.artifact import finished, upstream
from rmlab.artifacts.checking import Damage, all_damage, mark_whole
from rmlab.artifacts.manifest import MANIFEST, InputRecord, Manifest, OldFormat
from rmlab.errors import InputError, RmlabError
from rmlab.models import find_model
from rmlab.pipeline import VERSIONS
from rmlab.plan import file_source

State = Literal["whole", "stale", "damaged", "unfinished"]


@dataclass(frozen=True)
class Finding:
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
    stages = [stage for stage in VERSIONS if (out / stage).is_dir()]
    return [p for stage in stages for p in sorted((out / stage).glob("[!.]*")) if p.is_dir()]


def is_artifact(path: Path) -> bool:
    return path.parent.name in VERSIONS and path.is_dir()


def verify(path: Path, tick: Callable[[int], None], ages: Ages) -> Finding:
    """Reads every file of an artifact."""
    if not (path / MANIFEST).is_file():
        return Finding(path, "unfinished", "the command that began it goes on with it")
    try:
        manifest = finished(path)
    except OldFormat as error:
        return Finding(path, "stale", str(error))
    except InputError as error:
        return Finding(path, "damaged", str(error))
    if damage := list(all_damage(path, manifest.files, tick)):
        why = f"{damage[0].name}: {damage[0].why}" + (
            f", and {len(damage) - 1} more files" if damage[1:] else ""
        )
        return Finding(path, "damaged", why, damage, manifest)
    mark_whole(path, manifest.files)
    why = ages.outdated(path)
    return Finding(path, "stale" if why else "whole", why, (), manifest)


@dataclass(frozen=True)
class Ages:
    """Why artifacts are stale, by their own records of what they were made of; each is looked at once."""

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
        now = VERSIONS.get(manifest.stage)
        if manifest.version != now:
            return f"its stage has version {now}, and it was made by version {manifest.version}"
        reasons = (self._of_input(path, manifest, record) for record in manifest.inputs)
        return next((reason for reason in reasons if reason), "")

    def _of_input(self, path: Path, manifest: Manifest, record: InputRecord) -> str:
        if record.kind != "artifact":
            changed = _identity_now(record, Path(manifest.folder)) not in (None, record.fingerprint)
            return f"{record.name} has changed since" if changed else ""
        place = upstream(path, record)
        try:
            made = finished(place)
        except InputError:  # gone, unfinished or damaged: made again, it is compared with what was read
            return ""
        if made.fingerprint != record.fingerprint or made.content != record.content:
            return f"its input {record.name} was made again since, and holds something else"
        why = self.outdated(place)
        return f"its input {record.name} is stale: {why}" if why else ""


def _identity_now(record: InputRecord, folder: Path) -> str | None:
    """None where it cannot be told: the source is gone, or is no file or folder."""
    if record.kind not in ("file", "folder", "model"):
        return None
    local = (folder / record.name) if record.fingerprint.startswith("folder:") else None
    try:
        if record.kind == "model":
            return find_model(str(local)).identity if local and local.is_dir() else None
        return file_source(record.name).identity
    except (RmlabError, OSError):
        return None
