"""MLflow: into a local database, or to a tracking server."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from rmlab.errors import ConfigError

_LONGEST = 6000  # characters of a parameter, as MLflow takes them
_AT_ONCE = 100  # parameters of one request


@dataclass(frozen=True)
class Mlflow:
    """Logs with MLflow. project: its experiment; uri: of a server, http(s)://..., or of a database of its
    own, such as sqlite:////DISK/mlflow.db; null for one in artifacts/track/mlflow. The environment's
    MLFLOW_TRACKING_URI is not read."""

    name: ClassVar[str] = "mlflow"
    needs: ClassVar[str] = "mlflow"

    project: str = "rmlab"
    uri: str | None = None

    @property
    def sends(self) -> bool:
        return urlsplit(self.uri or "").scheme not in ("", "sqlite")

    def check(self) -> None:
        if self.uri is not None and urlsplit(self.uri).scheme in ("", "file"):
            raise ConfigError("track.uri is no server and no database; write https://HOST or sqlite:////FILE")

    def begin(self, name: str, settings: Mapping[str, Any], out: Path) -> _Run:
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # or its import tells its makers of its use
        from mlflow import MlflowClient

        folder = (out / "track" / "mlflow").absolute()
        if not self.sends:
            folder.mkdir(parents=True, exist_ok=True)
        client = MlflowClient(tracking_uri=self.uri or f"sqlite:///{folder / 'mlflow.db'}")
        known = client.get_experiment_by_name(self.project)
        files = None if self.sends else (folder / "files").as_uri()
        experiment = known.experiment_id if known else client.create_experiment(self.project, files)
        run = client.create_run(experiment, run_name=name)
        _log_settings(client, run.info.run_id, settings)
        return _Run(client, run.info.run_id)


def _log_settings(client: Any, run_id: str, settings: Mapping[str, Any]) -> None:
    from mlflow.entities import Param

    params = [Param(key, str(value)[:_LONGEST]) for key, value in settings.items()]
    for at in range(0, len(params), _AT_ONCE):
        client.log_batch(run_id, params=params[at : at + _AT_ONCE])


@dataclass(frozen=True)
class _Run:
    client: Any
    run_id: str

    def log(self, metrics: Mapping[str, float]) -> None:
        for key, value in metrics.items():
            self.client.log_metric(self.run_id, key, value)

    def file(self, path: Path) -> None:
        self.client.log_artifact(self.run_id, str(path))

    def end(self, succeeded: bool) -> None:
        self.client.set_terminated(self.run_id, "FINISHED" if succeeded else "FAILED")
