"""A stage that maps over shards: each part of its artifact is made by itself, here or in workers.

A process reads the next part and writes the last one while it computes one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import TypeVar

from rmlab.logs.progress import Progress
from rmlab.models.compute import available_cores
from rmlab.pipeline.job import Job, Made, Make, Shards
from rmlab.pipeline.workers import Tell, in_workers
from rmlab.storage.writer import Writer

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
    """Groups of `size` GPUs as CUDA_VISIBLE_DEVICES lists them; empty if there are fewer than `size`."""
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

    make: a function of a module, since every worker imports it, and calls it with jobs of its own.
    """
    first, shards = jobs[0], make(jobs)
    parts = range(len(shards.rows))
    missing = [part for part in parts if missing_jobs(jobs, part)]
    first.progress.skip(sum(shards.rows) - sum(shards.rows[part] for part in missing))
    workers = places(first.settings.workers, first.settings.device, len(missing), shards.gpus)
    if len(workers) > 1:
        _in_workers(jobs, make, missing, workers)
    else:
        write_parts(jobs, shards, missing)
    for job in jobs:
        for part in parts:
            job.writer.add(job.writer.part_counts(part))


def _in_workers(
    jobs: Sequence[Job], make: Make, missing: Sequence[int], workers: Sequence[dict[str, str]]
) -> None:
    """The locks on the folders of the artifacts stay with this process, which shows all progress."""
    progress = jobs[0].progress
    progress.say(f"{len(workers)} worker processes")
    quiet = Progress(progress.label, quiet=True)
    theirs = [replace(job, writer=Writer(job.writer.path), progress=quiet) for job in jobs]
    try:
        with closing(in_workers(partial(_write_some, theirs, make), missing, workers, "workers=...")) as told:
            for method, *values in told:
                getattr(progress, method)(*values)
    finally:
        for job in jobs:
            job.writer.remove_leftovers()


def _write_some(jobs: Sequence[Job], make: Make, parts: Iterator[int], tell: Tell[tuple]) -> None:
    """In a worker: its share of the parts."""
    progress = _Told(jobs[0].progress.label, tell)
    own = [replace(job, progress=progress) for job in jobs]
    write_parts(own, make(own), parts)
    progress.flush()


_TELL_EVERY = 0.2  # seconds


class _Told(Progress):
    """Progress that another process shows: it is told the name of a method of Progress, and its arguments."""

    def __init__(self, label: str, tell: Tell[tuple]) -> None:
        super().__init__(label, quiet=True)
        self.tell, self.fresh, self.told = tell, (0, 0), time.monotonic()

    def advance(self, n: int = 0, tokens: int = 0) -> None:
        self.fresh = self.fresh[0] + n, self.fresh[1] + tokens
        if time.monotonic() - self.told > _TELL_EVERY:
            self.flush()

    def flush(self) -> None:
        self.tell(("advance", *self.fresh))
        self.fresh, self.told = (0, 0), time.monotonic()

    def show(self, text: str) -> None:
        self.tell(("show", text))


A = TypeVar("A")
B = TypeVar("B")


def pipelined(
    indices: Iterable[int],
    read: Callable[[int], A],
    compute: Callable[[A], B],
    write: Callable[[int, B], None],
) -> None:
    """write(k, compute(read(k))) for each k in its order; compute runs in the caller's thread.

    One read, one computation and one write at a time, so memory holds no more than three parts. Whatever
    one of them raises is raised here, before anything else is computed, and a write that has begun ends.
    """
    todo = iter(indices)
    writing: Future[None] | None = None
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:

        def ahead() -> tuple[int, Future[A]] | None:
            index = next(todo, None)
            return None if index is None else (index, reader.submit(read, index))

        coming = ahead()
        while coming is not None:
            index, reading = coming
            data = reading.result()
            if writing is not None and writing.done():
                writing.result()
            coming = ahead()
            made = compute(data)
            if writing is not None:
                writing.result()
            writing = writer.submit(write, index, made)
            del reading, data, made  # else a part more would be held while the next one comes
        if writing is not None:
            writing.result()


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
