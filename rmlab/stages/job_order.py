"""Jobs as JSON, for a worker process that makes the same of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from rmlab.artifacts.artifact import open_artifact
from rmlab.artifacts.writer import Writer
from rmlab.config import typed
from rmlab.progress import Progress
from rmlab.stages.base import Job, Make


@dataclass(frozen=True)
class JobOrder:
    """make: module and name of what makes the shards; jobs: what each is made of, its inputs as folders."""

    make: tuple[str, str]
    jobs: list[dict[str, Any]]

    @classmethod
    def of(cls, jobs: Sequence[Job], make: Make) -> JobOrder:
        return cls((make.__module__, make.__qualname__), [_described(job) for job in jobs])

    def open(self, progress: Progress) -> list[Job]:
        """The locks on their folders stay with the process that gave the order."""
        return [_opened(job, progress) for job in self.jobs]

    def function(self) -> Make:
        module, name = self.make
        make: Make = getattr(import_module(module), name)
        return make


def _described(job: Job) -> dict[str, Any]:
    return {
        "name": job.name,
        "fingerprint": job.fingerprint,
        "settings": job.settings.model_dump(mode="json"),
        "config": job.config,
        "inputs": {role: str(artifact.path) for role, artifact in job.inputs.items()},
        "folder": str(job.writer.path),
    }


def _opened(job: dict[str, Any], progress: Progress) -> Job:
    return Job(
        name=job["name"],
        fingerprint=job["fingerprint"],
        settings=typed(job["settings"]),
        config=job["config"],
        inputs={role: open_artifact(Path(folder)) for role, folder in job["inputs"].items()},
        writer=Writer(Path(job["folder"])),
        progress=progress,
    )
