"""Weights & Biases: into a local folder, to look at or to send later by `wandb sync`; or to its server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rmlab.errors import ConfigError


@dataclass(frozen=True)
class Wandb:
    """Logs with wandb. online: send to the server that it is logged in to; folder: of the local files, null
    for artifacts/track/wandb; entity: the user or team, online only."""

    name: ClassVar[str] = "wandb"
    needs: ClassVar[str] = "wandb"

    project: str = "rmlab"
    online: bool = False
    entity: str | None = None
    folder: str | None = None

    @property
    def sends(self) -> bool:
        return self.online

    def check(self) -> None:
        if self.entity is not None and not self.online:
            raise ConfigError("track.entity is of the server, and nothing is sent; set track.online=true too")

    def begin(self, name: str, settings: Mapping[str, Any], out: Path) -> _Run:
        import wandb

        folder = Path(self.folder) if self.folder else out / "track" / "wandb"
        folder.mkdir(parents=True, exist_ok=True)
        run = wandb.init(
            project=self.project,
            entity=self.entity,
            name=name,
            config=dict(settings),
            dir=str(folder.absolute()),
            mode="online" if self.online else "offline",
            # neither the code, the machine nor what is printed is part of a run
            settings=wandb.Settings(
                silent=True, console="off", disable_git=True, save_code=False, x_disable_meta=True
            ),
        )
        return _Run(run)


@dataclass(frozen=True)
class _Run:
    run: Any

    def log(self, metrics: Mapping[str, float]) -> None:
        self.run.summary.update(dict(metrics))

    def file(self, path: Path) -> None:
        self.run.save(str(path), base_path=str(path.parent), policy="now")

    def end(self, succeeded: bool) -> None:
        self.run.finish(exit_code=0 if succeeded else 1)
