"""The job that a stage is given: its settings, opened inputs and a writer. It builds no path itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import pyarrow as pa

from rmlab.config.components import build
from rmlab.config.settings import Component, Settings
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
    """inputs: role -> artifact; a role is a stage's name, or stage:name where there are several."""

    name: str
    fingerprint: str
    settings: Settings
    config: dict[str, Any]
    inputs: dict[str, Artifact]
    writer: Writer
    progress: Progress
    grid: Grid | None = None  # of a sweep

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
        """The inputs of one stage by their names."""
        prefix = stage + ":"
        return {r.removeprefix(prefix): a for r, a in self.inputs.items() if r.startswith(prefix)}


@dataclass(frozen=True)
class Made:
    """One part of an artifact, and what the manifest says of the whole."""

    table: pa.Table
    counts: Counts
    metrics: dict[str, Any]


@dataclass(frozen=True)
class Shards(Generic[T]):
    """The parts of a job's artifact, or of the artifacts of several that one pass makes.

    Part k is compute(read(k), wanted), in any order and in any process: one for each of the `wanted`,
    the numbers of the jobs whose part k is missing. rows: of progress in each part. gpus: that one worker
    needs, where there are any.
    """

    rows: Sequence[int]
    read: Callable[[int], T]
    compute: Callable[[T, Sequence[int]], list[Made]]
    gpus: int = 1


Make = Callable[[Sequence[Job]], Shards[Any]]


def note_left_out(job: Job, n: int, reward: str) -> None:
    """Counts the n of them in the manifest, with one warning."""
    if not n:
        return
    job.writer.add({"failed_rows_left_out": n})
    job.writer.warnings.append(
        f"{n} responses that golden reward {reward} failed on are left out, as if they had not been sampled"
    )
