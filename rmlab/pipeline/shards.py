"""A stage that maps over shards: each part of its artifact is made by itself, here or in workers."""

from __future__ import annotations

import os
from collections.abc import Sequence

from rmlab.models.compute import available_cores
from rmlab.pipeline.job import Job, Make
from rmlab.pipeline.parts import missing_jobs, write_parts
from rmlab.pipeline.shard_workers import in_workers

VISIBLE = "CUDA_VISIBLE_DEVICES"
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")


def places(workers: int | str, device: str, parts: int, gpus: int = 1) -> list[dict[str, str]]:
    """The environment variables of each worker: its GPUs and its share of the cores.

    workers: how many, or auto: as many as have `gpus` GPUs of their own, else 1; never more than there are
    parts. On a CPU fewer threads may change the last bits of what a model computes, as another machine would.
    """
    if workers == 1 or parts <= 1:
        return [{}]
    devices = _groups(_gpus(), gpus) if device in ("auto", "cuda") else []
    n = min(int(workers) if workers != "auto" else max(1, len(devices)), parts)
    if n == 1:
        return [{}]
    return [_threads(n) | ({VISIBLE: devices[k % len(devices)]} if devices else {}) for k in range(n)]


def _groups(gpus: list[str], size: int) -> list[str]:
    """As CUDA_VISIBLE_DEVICES names so many together; none where there are not enough for one group."""
    return [",".join(gpus[k : k + size]) for k in range(0, len(gpus) - size + 1, size)]


def _gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    n = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    return (named or [str(k) for k in range(n)])[:n]


def _threads(workers: int) -> dict[str, str]:
    """A fair share of the cores, or what the user allows, where that is less."""
    share = max(1, available_cores() // workers)
    return {name: str(min(share, _number(os.environ.get(name)) or share)) for name in _THREADS}


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


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
