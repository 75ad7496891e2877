"""A stage that maps over shards: each part of its artifact is made by itself, whatever makes the others."""

from __future__ import annotations

from collections.abc import Sequence

from rmlab.stages.base import Job, Make
from rmlab.stages.places import places
from rmlab.stages.shard_workers import in_workers
from rmlab.stages.write_parts import missing_jobs, write_parts


def map_shards(jobs: Sequence[Job], make: Make) -> None:
    """Writes the parts that an earlier run has not, here or in worker processes, and adds up their counts.

    make: a function of a module, since every worker calls it by its name, with jobs of its own.
    """
    first, shards = jobs[0], make(jobs)
    parts = range(len(shards.rows))
    missing = [part for part in parts if missing_jobs(jobs, part)]
    first.progress.skip(sum(shards.rows) - sum(shards.rows[part] for part in missing))
    workers = places(first.settings.workers, first.settings.device, len(missing), shards.gpus)
    if len(workers) > 1:
        in_workers(jobs, make, missing, workers)
    else:
        write_parts(jobs, shards, missing)
    for job in jobs:
        for part in parts:
            job.writer.add(job.writer.part_counts(part))
