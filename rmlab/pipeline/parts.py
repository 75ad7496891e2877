"""Parts of artifacts computed and written by this process, reading ahead and writing behind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from rmlab.pipeline.job import Job, Made, Shards

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
