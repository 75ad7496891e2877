"""The protocol of trackers, and the one that keeps nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol


class TrackedRun(Protocol):
    """A run as a tracker has it. What goes wrong may raise anything; rmlab warns, and its own run goes on."""

    def log(self, metrics: Mapping[str, float]) -> None:
        """Adds numbers by name."""
        ...

    def file(self, path: Path) -> None:
        """Keeps a file, such as the report."""
        ...

    def end(self, succeeded: bool) -> None: ...


class Tracker(Protocol):
    """Settings of a tracker. needs: the package that it is of, which is imported when a run begins, or "";
    sends: whether something leaves this machine."""

    needs: ClassVar[str]

    @property
    def sends(self) -> bool: ...

    def check(self) -> None:
        """Raises ConfigError where the settings do not go together."""
        ...

    def begin(self, name: str, settings: Mapping[str, Any], out: Path) -> TrackedRun:
        """Begins a run. name: of the experiment; settings: by dotted name; out: the folder of artifacts."""
        ...


@dataclass(frozen=True)
class NoTracker:
    """Keeps nothing: artifacts, manifests and the report are the record."""

    name: ClassVar[str] = "none"
