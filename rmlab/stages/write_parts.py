"""Parts of artifacts, computed and written by this process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from rmlab.stages.base import Job, Made, Shards
from rmlab.stages.pipelined import pipelined

T = TypeVar("T")


def missing_jobs(jobs: Sequence[Job], part: int) -> list[int]:
    """Numbers of the jobs that an earlier run has not written this part of."""
    return [k for k, job in enumerate(jobs) if not job.writer.has_part(part)]


def write_parts(jobs: Sequence[Job], shards: Shards[T], parts: Iterable[int]) -> None:
    """Each part in its turn; the next is read and the last is written while one is computed."""

    def read(part: int) -> tuple[list[int], T]:
        return missing_jobs(jobs, part), shards.read(part)

    def compute(found: tuple[list[int], T]) -> dict[int, Made]:
        wanted, data = found
        made = dict(zip(wanted, shards.compute(data, wanted), strict=True))
        for k, m in made.items():
            jobs[k].writer.metrics.update(m.metrics)
        # metrics as they are now: what is computed while this is written may add to them
        return {k: Made(m.table, m.counts, dict(jobs[k].writer.metrics)) for k, m in made.items()}

    def write(part: int, made: dict[int, Made]) -> None:
        for k, m in made.items():
            jobs[k].writer.part(part, m.table, m.counts, m.metrics)

    pipelined(parts, read, compute, write)
