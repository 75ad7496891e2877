"""Parts of one artifact made by several processes, each of which takes the next part when it is free."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from rmlab import errors
from rmlab.config.hydra import typed
from rmlab.errors import RmlabError, WorkerError
from rmlab.logs import log
from rmlab.logs.progress import Progress
from rmlab.logs.records import message_of, trace_of
from rmlab.pipeline.job import Job, Make
from rmlab.storage.artifact import open_artifact
from rmlab.storage.writer import Writer


class Wire:
    """receive raises EOFError or ConnectionError when the other process has gone."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def send(self, value: Any) -> None:
        self.connection.send_bytes(json.dumps(value).encode())

    def receive(self) -> Any:
        return json.loads(self.connection.recv_bytes())

    def close(self) -> None:
        self.connection.close()


class _InWorker(Exception):
    """The traceback of an error there, for whoever looks at the traceback here."""


def error_to_json(error: Exception) -> dict[str, Any]:
    told: dict[str, Any] = {
        "kind": type(error).__name__,
        "message": message_of(error),
        "trace": trace_of(error),
    }
    if isinstance(error, RmlabError):
        told["kind"] = next(c.__name__ for c in type(error).__mro__ if c.__module__ == errors.__name__)
    if isinstance(error, OSError):
        told["system"] = [error.errno, error.strerror, error.filename and str(error.filename)]
    return told


def error_from_json(told: dict[str, Any]) -> Exception:
    """Its cause tells where it was raised."""
    error = _error(told)
    error.__cause__ = _InWorker(f"in the worker process\n{told['trace']}")
    return error


def _error(told: dict[str, Any]) -> Exception:
    known = getattr(errors, told["kind"], None)
    if isinstance(known, type) and issubclass(known, RmlabError):
        return known(told["message"])
    if "system" in told and told["system"][0] is not None:
        return OSError(*told["system"])
    if told["kind"] == "MemoryError":
        return MemoryError(told["message"])
    return WorkerError(f"{told['kind']} in a worker process: {told['message']}")


@dataclass(frozen=True)
class JobOrder:
    """make: module and name of what makes the shards; jobs: what each is made of, its inputs as folders."""

    make: tuple[str, str]
    jobs: list[dict[str, Any]]

    @classmethod
    def of(cls, jobs: Sequence[Job], make: Make) -> JobOrder:
        return cls((make.__module__, make.__qualname__), [_described(job) for job in jobs])

    def open(self, progress: Progress) -> list[Job]:
        """The locks on their folders stay with the process that gave the order."""
        return [_opened(job, progress) for job in self.jobs]

    def function(self) -> Make:
        module, name = self.make
        make: Make = getattr(import_module(module), name)
        return make


def _described(job: Job) -> dict[str, Any]:
    return {
        "name": job.name,
        "fingerprint": job.fingerprint,
        "settings": job.settings.model_dump(mode="json"),
        "config": job.config,
        "inputs": {role: str(artifact.path) for role, artifact in job.inputs.items()},
        "folder": str(job.writer.path),
    }


def _opened(job: dict[str, Any], progress: Progress) -> Job:
    return Job(
        name=job["name"],
        fingerprint=job["fingerprint"],
        settings=typed(job["settings"]),
        config=job["config"],
        inputs={role: open_artifact(Path(folder)) for role, folder in job["inputs"].items()},
        writer=Writer(Path(job["folder"])),
        progress=progress,
    )


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
                [sys.executable, "-P", "-m", "rmlab.pipeline.shard_worker", str(theirs.fileno())],
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
