"""A pool of worker processes, each of which takes the next task when it is free and tells what it finds.

Run as `python -m rmlab.pipeline.workers FILE_DESCRIPTOR` it is such a worker. Over a pipe it receives the
function that does its work, then a task for each ("next", None) that it sends: a tuple of one, or of none
when there are no more. It also sends ("told", value), ("error", what the error is made of) and ("end", None).
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from rmlab.errors import RmlabError
from rmlab.logs import log
from rmlab.logs.carried_errors import error_from_json, error_to_json
from rmlab.logs.package_logs import DEBUG, record_package_logs
from rmlab.processes import Child, end_with_parent
from rmlab.terminal import note

Task = TypeVar("Task")
Told = TypeVar("Told")
Tell = Callable[[Told], None]
Work = Callable[[Iterator[Task], Tell[Told]], None]


def in_workers(
    work: Work[Task, Told],
    tasks: Iterable[Task],
    environments: Sequence[Mapping[str, str]],
    fewer: str,
    ahead: int = 0,
) -> Generator[Told, None, None]:
    """Yields what `work(tasks, tell)` tells, in one process for each environment, in the order it comes.

    work: a function of a module, since each worker imports it, or a partial of one. fewer: the option that
    sets the number of workers. ahead: tasks that a worker has before it, where it must not wait for the next.
    Close the generator: then the workers, and all that they have started, are gone.
    """
    left, workers = iter(tasks), list[_Worker]()
    try:
        for environment in environments:
            workers.append(_Worker.start(environment, fewer))
            workers[-1].send(work)
            for _ in range(ahead):
                workers[-1].send_next(left)
        while pipes := [worker.pipe for worker in workers if not worker.is_gone]:
            ready, failures = wait(pipes), list[Exception]()
            for worker in workers:
                if worker.pipe in ready:
                    try:
                        yield from worker.attend(left)
                    except Exception as error:
                        failures.append(error)
            if failures:  # what the other workers have told comes before
                raise failures[0]
    finally:
        for worker in workers:
            worker.stop()


@dataclass
class _Worker:
    child: Child
    pipe: Connection
    fewer: str
    has_ended: bool = False  # its work
    is_gone: bool = False

    @classmethod
    def start(cls, environment: Mapping[str, str], fewer: str) -> _Worker:
        ours, theirs = Pipe()
        with theirs:
            child = Child(
                "rmlab.pipeline.workers",
                str(theirs.fileno()),
                environment={**environment, **log.for_workers()},
                pass_fds=[theirs.fileno()],
            )
        return cls(child, ours, fewer)

    def attend(self, left: Iterator[Any]) -> Iterator[Any]:
        """Takes one message, and yields what it tells."""
        try:
            kind, value = self.pipe.recv()
        except (EOFError, ConnectionError):
            self.is_gone = True
            if not self.has_ended:
                raise self._death() from None
            return
        if kind == "told":
            yield value
        elif kind == "next":
            self.send_next(left)
        elif kind == "error":
            raise error_from_json(value)
        else:
            self.has_ended = True

    def send_next(self, left: Iterator[Any]) -> None:
        self.send(tuple(islice(left, 1)))

    def send(self, value: Any) -> None:
        with suppress(ConnectionError):  # the end of its messages says whether it has ended too early
            self.pipe.send(value)

    def _death(self) -> RmlabError:
        code = self.child.wait()
        how = f"was killed (signal {-code})" if code < 0 else f"ended with code {code}"
        return RmlabError(
            f"worker process {self.child.pid} {how}, perhaps for want of memory; what is done is kept: "
            f"run the same command to go on, or with fewer {self.fewer}"
        )

    def stop(self) -> None:
        self.child.stop()
        self.pipe.close()


def main(descriptor: int) -> int:
    """A worker. Its parent alone decides when it stops, and speaks of its errors."""
    os.set_inheritable(descriptor, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    log.join()
    record_package_logs()
    pipe = Connection(descriptor)
    os.register_at_fork(after_in_child=pipe.close)  # or a fork could hold it for longer
    try:
        work = pipe.recv()
        work(_tasks(pipe), lambda value: pipe.send(("told", value)))
        pipe.send(("end", None))
    except SystemExit:
        pipe.send(("error", error_to_json(RmlabError("a component ended its process (sys.exit)"))))
    except Exception as error:
        if os.environ.get(DEBUG):
            note(*traceback.format_exc().splitlines())
        pipe.send(("error", error_to_json(error)))
    return 0


def _tasks(pipe: Connection) -> Iterator[Any]:
    while True:
        pipe.send(("next", None))
        found = pipe.recv()
        if not found:
            return
        yield from found


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
