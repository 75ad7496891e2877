"""Trackio: into a local database, shown by `trackio show`; or to a Space of the Hugging Face hub."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rmlab.errors import ConfigError

_ELSEWHERE = ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL")  # by which Trackio sends without being told to


@dataclass(frozen=True)
class Trackio:
    """Logs with Trackio. space: OWNER/NAME of a Space to send to; null keeps all in its local database, in
    the folder TRACKIO_DIR or that of the hub's cache."""

    name: ClassVar[str] = "trackio"
    needs: ClassVar[str] = "trackio"

    project: str = "rmlab"
    space: str | None = None

    @property
    def sends(self) -> bool:
        return self.space is not None

    def check(self) -> None:
        if self.space is not None and self.space.count("/") != 1:
            raise ConfigError("track.space is no name of a Space; write OWNER/NAME, or null to send nothing")
        if self.space is None and (there := next(filter(os.environ.get, _ELSEWHERE), None)):
            raise ConfigError(
                f"{there} is set, so Trackio would send there; unset it, or name a Space with track.space"
            )

    def begin(self, name: str, settings: Mapping[str, Any], out: Path) -> _Run:
        import trackio

        run = trackio.init(project=self.project, name=None, config=dict(settings), space_id=self.space)
        place = out / "track" / "trackio" / name / str(getattr(run, "name", None) or "run")
        return _Run(run, trackio, place)


@dataclass(frozen=True)
class _Run:
    """place: where files are kept, as Trackio has no place for pages."""

    run: Any
    trackio: Any
    place: Path

    def log(self, metrics: Mapping[str, float]) -> None:
        self.trackio.log(dict(metrics))

    def file(self, path: Path) -> None:
        self.place.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, self.place / path.name)

    def end(self, succeeded: bool) -> None:
        self.trackio.finish()
