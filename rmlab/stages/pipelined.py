"""Reading ahead and writing behind: while one thing is computed, the next is read and the last written."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

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
