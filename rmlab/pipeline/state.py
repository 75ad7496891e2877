"""The state of an artifact against the settings that ask for it: missing, begun, stale, damaged or done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from rmlab.errors import InputError
from rmlab.storage.artifact import Artifact, is_unfinished, open_artifact
from rmlab.storage.manifest import OldFormat

Name = Literal["missing", "begun", "damaged", "stale", "done"]


@dataclass(frozen=True)
class State:
    """artifact: where it can be read, stale or done."""

    name: Name
    why: str = ""
    artifact: Artifact | None = None


class Wanted(Protocol):
    """What the states of need to know of a node."""

    @property
    def stage(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def folder(self) -> Path: ...
    @property
    def inputs(self) -> Mapping[str, Wanted]: ...


@dataclass(frozen=True)
class States:
    """States as they are now; each artifact is looked at once."""

    _known: dict[str, State] = field(default_factory=dict)

    def of(self, node: Wanted) -> State:
        if node.fingerprint not in self._known:
            self._known[node.fingerprint] = self._look(node)
        return self._known[node.fingerprint]

    def _look(self, node: Wanted) -> State:
        folder = node.folder
        if not folder.is_dir():
            return State("missing")
        if is_unfinished(folder):
            n = len(list(folder.glob("part-*.parquet")))
            return State("begun", f"{n} parts" if n else "no parts yet")
        try:
            artifact = open_artifact(folder)
        except OldFormat as error:
            return State("stale", str(error))
        except InputError as error:
            return State("damaged", str(error))
        if artifact.manifest.fingerprint != node.fingerprint:
            return State("damaged", f"{folder} belongs to other settings; remove it, or use --force")
        why = self._outdated(node, artifact)
        return State("stale", why, artifact) if why else State("done", "", artifact)

    def _outdated(self, node: Wanted, artifact: Artifact) -> str:
        """An input that is gone is no reason: made again, it is compared with what was read."""
        made_of = artifact.manifest.made_of
        for role, upstream in node.inputs.items():
            state = self.of(upstream)
            if state.name == "stale":
                return f"its input {upstream.stage} is stale: {state.why}"
            now = state.artifact.manifest.content if state.artifact else None
            if now is not None and made_of.get(role) != now:
                return f"its input {upstream.stage} was made again since, and holds something else"
        return ""
