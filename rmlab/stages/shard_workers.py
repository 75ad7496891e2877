"""Parts of one artifact made by several processes, each of which takes the next when it is done with one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any

from rmlab.errors import RmlabError
from rmlab.logs import log
from rmlab.progress import Progress
from rmlab.stages.base import Job, Make
from rmlab.stages.job_order import JobOrder
from rmlab.stages.wire import Wire
from rmlab.stages.worker_error import error_from_json


def in_workers(
    jobs: Sequence[Job], make: Make, parts: Sequence[int], environments: Sequence[dict[str, str]]
) -> None:
    """One worker an environment; they and all that they have started are gone when this ends or raises."""
    order, left = asdict(JobOrder.of(jobs, make)), iter(parts)
    workers: dict[Connection, _Worker] = {}
    jobs[0].progress.say(f"{len(environments)} worker processes")
    try:
        for environment in environments:
            worker = _Worker.start(environment)
            workers[worker.wire.connection] = worker
            worker.send(order)
        waiting = list(workers)
        while waiting:
            for connection in [c for c in wait(waiting) if isinstance(c, Connection)]:
                if not workers[connection].attend(left, jobs[0].progress):
                    waiting.remove(connection)
    finally:
        for worker in workers.values():
            worker.stop()
        for job in jobs:
            job.writer.remove_leftovers()


@dataclass(frozen=True)
class _Worker:
    """Its standard input is never written to: it ends when this process does, and the worker with it."""

    process: subprocess.Popen[bytes]
    wire: Wire

    @classmethod
    def start(cls, environment: dict[str, str]) -> _Worker:
        """Started afresh, so that its environment holds from its first instant, whatever runs here.

        In a session of its own: Ctrl-C at the terminal reaches this process alone, which stops the others.
        """
        ours, theirs = Pipe()
        search = {"PYTHONPATH": os.pathsep.join(sys.path)}  # components of the user's own are found there too
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "rmlab.stages.shard_worker", str(theirs.fileno())],
                env={**os.environ, **search, **environment, **log.for_workers()},
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        return cls(process, Wire(ours))

    def attend(self, left: Iterator[int], progress: Progress) -> bool:
        """Takes one message; False when there will be no more."""
        try:
            message = self.wire.receive()
        except (EOFError, ConnectionError):
            if self.process.wait() == 0:
                return False
            raise self._death() from None
        if "error" in message:
            raise error_from_json(message["error"])
        if "next" in message:
            self.send(next(left, None))
        elif "advance" in message:
            progress.advance(*message["advance"])
        else:
            progress.show(message["say"])
        return True

    def send(self, value: Any) -> None:
        try:
            self.wire.send(value)
        except ConnectionError:
            raise self._death() from None

    def _death(self) -> RmlabError:
        code = self.process.wait()
        how = f"was killed (signal {-code})" if code < 0 else f"ended with code {code}"
        return RmlabError(
            f"worker process {self.process.pid} {how}, perhaps for want of memory; what is done is kept: "
            "run the same command to go on, or with fewer workers=..."
        )

    def stop(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # what a dead worker has started, too
        self.process.wait()
        if self.process.stdin:
            self.process.stdin.close()
        self.wire.close()
