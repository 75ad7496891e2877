"""The job that a stage is given: its settings, opened inputs and a writer. A stage builds no path itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import pyarrow as pa

from rmlab.config.components import build
from rmlab.config.fitting import Component
from rmlab.config.settings import Settings
from rmlab.errors import RmlabError
from rmlab.logs.progress import Progress
from rmlab.models.compute import Compute
from rmlab.pipeline.node import Grid
from rmlab.storage.artifact import Artifact
from rmlab.storage.writer import Writer

Counts = dict[str, int | float]
T = TypeVar("T")


@dataclass(frozen=True)
class Job:
    """One run of a stage. inputs: artifacts by role: the name of a stage, or stage:name if there are
    several."""

    name: str
    fingerprint: str
    settings: Settings
    config: dict[str, Any]
    inputs: dict[str, Artifact]
    writer: Writer
    progress: Progress
    grid: Grid | None = None  # for a sweep

    @property
    def compute(self) -> Compute:
        s = self.settings
        return Compute(s.dtype, s.device, s.trust_remote_code, s.revision)

    @property
    def sweep_grid(self) -> Grid:
        if self.grid is None:
            raise RmlabError(f"{self.name} has no grid; run it by `rmlab sweep`")
        return self.grid

    def build(self, component: Component, where: str) -> Any:
        return build(component, self.settings.allow_modules, where)

    def several(self, stage: str) -> dict[str, Artifact]:
        """The inputs whose role is stage:name, by name."""
        prefix = stage + ":"
        return {r.removeprefix(prefix): a for r, a in self.inputs.items() if r.startswith(prefix)}


@dataclass(frozen=True)
class Made:
    """One part of an artifact; its counts are added to the manifest's, its metrics replace the manifest's."""

    table: pa.Table
    counts: Counts
    metrics: dict[str, Any]


@dataclass(frozen=True)
class Shards(Generic[T]):
    """Says how to make the parts of a job's artifact, or of the artifacts of several jobs in one pass.

    compute(read(k), wanted) returns part k of each of the wanted jobs, the indices of those that lack it;
    parts are made in any order and in any process. rows: the rows of each part, for progress. gpus: how many
    one worker needs, on a machine that has any.
    """

    rows: Sequence[int]
    read: Callable[[int], T]
    compute: Callable[[T, Sequence[int]], list[Made]]
    gpus: int = 1


Make = Callable[[Sequence[Job]], Shards[Any]]


def note_left_out(job: Job, n: int, reward: str) -> None:
    """Counts in the manifest, and warns of, the n responses that a golden reward failed on."""
    if not n:
        return
    job.writer.add({"failed_rows_left_out": n})
    job.writer.warnings.append(
        f"{n} responses that golden reward {reward} failed on are left out, as if they had not been sampled"
    )
