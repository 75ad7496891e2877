"""The state of an artifact, from missing to done, and the one rule of what is stale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from rmlab.errors import InputError
from rmlab.pipeline.stages import BY_NAME
from rmlab.storage.artifact import (
    Artifact,
    Unreadable,
    finished,
    is_unfinished,
    open_artifact,
    readable,
    upstream,
)
from rmlab.storage.manifest import InputRecord, Manifest, OldFormat
from rmlab.storage.owned import LOST_WORK, has_lost_work

Name = Literal["missing", "begun", "damaged", "unreadable", "stale", "done"]


@dataclass(frozen=True)
class Ages:
    """Why artifacts are stale, by their own records of what they were made of; each is looked at once.

    has_changed: tells whether a file or model outside has changed since the artifact was made of it. Settings
    that ask for an artifact need not ask that, for a changed source gives another fingerprint.
    """

    has_changed: Callable[[InputRecord, Manifest], bool] = lambda record, manifest: False
    _known: dict[Path, tuple[Manifest | None, str]] = field(default_factory=dict)

    def outdated(self, path: Path, manifest: Manifest | None = None) -> str:
        """The reason, or "" for an artifact that is current, unfinished or unreadable.

        manifest: the artifact's, if it was just read.
        """
        return self._seen(path.absolute(), manifest)[1]

    def _seen(self, path: Path, manifest: Manifest | None = None) -> tuple[Manifest | None, str]:
        if path not in self._known:
            self._known[path] = None, ""  # an artifact that says it is made of itself does not ask for ever
            try:
                manifest = manifest or finished(path)
                self._known[path] = manifest, self._why(path, manifest)
            except InputError as error:
                self._known[path] = None, str(error) if isinstance(error, OldFormat) else ""
        return self._known[path]

    def _why(self, path: Path, manifest: Manifest) -> str:
        now = BY_NAME[manifest.stage].version if manifest.stage in BY_NAME else None
        if manifest.version != now:
            return f"its stage has version {now}, and it was made by version {manifest.version}"
        reasons = (self._of_input(path, manifest, record) for record in manifest.inputs)
        return next((reason for reason in reasons if reason), "")

    def _of_input(self, path: Path, manifest: Manifest, record: InputRecord) -> str:
        """An input that is gone is no reason: made again, it is compared with what was read."""
        if record.kind != "artifact":
            return f"{record.name} has changed since" if self.has_changed(record, manifest) else ""
        made, why = self._seen(upstream(path, record))
        if why:
            return f"its input {record.name} is stale: {why}"
        if made and (made.fingerprint, made.content) != (record.fingerprint, record.content):
            return f"its input {record.name} was made again since, and holds something else"
        return ""


@dataclass(frozen=True)
class State:
    """artifact: where it can be read, stale or done."""

    name: Name
    why: str = ""
    artifact: Artifact | None = None


class Wanted(Protocol):
    """The part of a node that its state is found by."""

    @property
    def fingerprint(self) -> str: ...
    @property
    def folder(self) -> Path: ...


@dataclass(frozen=True)
class States:
    """The states of artifacts as settings ask for them, as they are now; each is looked at once."""

    _ages: Ages = field(default_factory=Ages)
    _known: dict[str, State] = field(default_factory=dict)

    def of(self, node: Wanted) -> State:
        if node.fingerprint not in self._known:
            self._known[node.fingerprint] = self._look(node)
        return self._known[node.fingerprint]

    def _look(self, node: Wanted) -> State:
        found = self.at(node.folder)
        if found.artifact is not None and found.artifact.manifest.fingerprint != node.fingerprint:
            return State("damaged", f"{node.folder} belongs to other settings; remove it, or use --force")
        return found

    def at(self, folder: Path) -> State:
        """The state of what lies in a folder, whatever settings made it."""
        try:
            with readable(folder):
                return self._found(folder)
        except Unreadable as error:
            return State("unreadable", str(error))

    def _found(self, folder: Path) -> State:
        if not folder.is_dir():
            return State("missing")
        if is_unfinished(folder):
            n = len(list(folder.glob("part-*.parquet")))
            lost = f"; {LOST_WORK}" if has_lost_work(folder) else ""
            return State("begun", f"{n} parts{lost}" if n else "no parts yet")
        try:
            artifact = open_artifact(folder)
        except OldFormat as error:
            return State("stale", str(error))
        except Unreadable:
            raise
        except InputError as error:
            return State("damaged", str(error))
        why = self._ages.outdated(folder, artifact.manifest)
        return State("stale" if why else "done", why, artifact)
