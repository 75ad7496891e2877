"""Tasks in worker processes of one thread each; results as they are done, and no process left behind."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import torch

from rmlab.errors import RmlabError
from rmlab.logs import log
from rmlab.logs.library_logs import record_chatter

if TYPE_CHECKING:
    from concurrent.futures import Future

AHEAD = 2  # tasks that each worker has before it, so that none waits for the next
LOOK = 1.0  # seconds between two looks of a worker at whether its parent still lives
_ENVIRONMENT = {
    **dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
    ),
    # glibc keeps the memory of one task for the next instead of giving it back and faulting it in again.
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
    "MALLOC_TRIM_THRESHOLD_": str(2**29),
    "MALLOC_TOP_PAD_": str(2**26),
}
Task = TypeVar("Task")
Result = TypeVar("Result")


def in_workers(
    call: Callable[[Task], Result], tasks: Iterable[Task], workers: int
) -> Generator[Result, None, None]:
    """call(task) for each task, in the order in which they are done. Close it, or the workers stay.

    Processes are started afresh rather than forked, which threads of this one would not survive.
    """
    from joblib.externals.loky import FIRST_COMPLETED, ProcessPoolExecutor, wait
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    pool = ProcessPoolExecutor(workers, initializer=_start, env=_ENVIRONMENT | log.for_workers())
    waiting: set[Future[Result]] = set()
    is_over = False
    try:
        for task in tasks:
            with _no_interrupt(not waiting):  # the first task starts the processes
                waiting.add(pool.submit(call, task))
            if len(waiting) >= AHEAD * workers:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from _results(done)
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            yield from _results(done)
        is_over = True
    except TerminatedWorkerError:
        yield from (f.result() for f in waiting if f.done() and not f.cancelled() and not f.exception())
        raise RmlabError(
            "a worker process was killed, most likely for want of memory; what is done is kept: "
            "run the same command with fewer --workers"
        ) from None
    finally:
        pool.shutdown(wait=True, kill_workers=not is_over)


def _results(done: Iterable[Future[Result]]) -> Iterator[Result]:
    """What was computed comes before what failed, so that a worker that was killed takes nothing along."""
    yield from (future.result() for future in sorted(done, key=lambda f: f.exception() is not None))


def _start() -> None:
    """Of a worker process: the parent alone speaks, and decides when to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    torch.set_num_threads(1)
    log.join()
    record_chatter()


def _end_with(parent: int) -> None:
    """A parent that was killed could not stop its workers."""
    while os.getppid() == parent:
        time.sleep(LOOK)
    os._exit(1)


@contextmanager
def _no_interrupt(wanted: bool) -> Iterator[None]:
    """Ctrl-C never reaches processes that start meanwhile; here it counts afterwards.

    They inherit that the signal is blocked, and ignore it once they run.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if not wanted or not in_main or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt
