"""Files of strangers, opened in a child process whose memory is limited: tables, `.pt` tensors, templates.

A child is started once for each kind of file, and forks for each file (untrusted_child.py says under which
limits); whatever the file does to it becomes one line that names the file.
"""

from __future__ import annotations

import atexit
import json
import os
import socket
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from rmlab.errors import InputError
from rmlab.processes import Child
from rmlab.storage.untrusted_bounds import TABLE, TENSOR, first_line

_DIED = "cannot be read: the process that read it died of it; write it again"
UNUSABLE = (pa.ArrowException, ValueError, LookupError, TypeError, OverflowError, MemoryError)
# one arena and one thread, since each takes address space of its own, which is what is limited
_ENVIRONMENT = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


class _Reader:
    """Ends with this process: it waits at a socket between the two, which closes then."""

    def __init__(self, kind: str) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs, Path(os.devnull).open("wb") as nowhere:
            self.process = Child(
                "rmlab.storage.untrusted_child", kind, environment=_ENVIRONMENT, link=theirs, errors=nowhere
            )
        atexit.register(self.stop)

    def ask(self, request: dict[str, Any]) -> Connection:
        ours, theirs = Pipe()
        with theirs:
            socket.send_fds(self._socket, [b"."], [theirs.fileno()])
        ours.send_bytes(json.dumps(request).encode())
        return ours

    def stop(self) -> None:
        self._socket.close()
        self.process.stop()


_CHILDREN: dict[tuple[int, str], _Reader] = {}  # by the process that started it, and the kind of file


def child_of(kind: str) -> _Reader:
    """This process's child for a kind of file, which is started if there is none."""
    known = _CHILDREN.get((os.getpid(), kind))
    if known is None or known.process.poll() is not None:
        known = _CHILDREN[os.getpid(), kind] = _Reader(kind)
    return known


class ChildAnswer:
    """The answers of a child about one file. name: the file's name in errors; died: what follows it where the
    child has died of the file."""

    def __init__(self, kind: str, request: dict[str, Any], name: str, died: str = _DIED) -> None:
        self._name, self._died = name, died
        with self._alive():
            self._connection = child_of(kind).ask(request)

    def message(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.data())
        if "refused" in found:
            raise InputError(f"{self._name} {found['refused']}")
        return found

    def data(self) -> bytes:
        with self._alive():
            return self._connection.recv_bytes()

    def pieces(self) -> Iterator[bytes]:
        while "piece" in self.message():
            yield self.data()

    def ask(self, more: Any) -> None:
        with self._alive():
            self._connection.send_bytes(json.dumps(more).encode())

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def _alive(self) -> Iterator[None]:
        """Within, the child is spoken with, and with nothing else."""
        try:
            yield
        except (EOFError, ConnectionError):
            raise InputError(f"{self._name} {self._died}") from None


class TableRows:
    """schema: of all columns of the file; rows: how many it declares. Iterated over once, in batches."""

    def __init__(self, answer: ChildAnswer, form: str, name: str) -> None:
        self._answer, self._form, self._name = answer, form, name
        self.rows = int(answer.message()["rows"])
        with self._readable():
            self.schema = pa.ipc.read_schema(pa.py_buffer(answer.data()))

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for piece in self._answer.pieces():
            with self._readable():
                batches = list(pa.ipc.open_stream(piece))
            yield from batches

    def as_python(self, batch: pa.RecordBatch) -> list[dict[str, Any]]:
        """The rows of one of the batches as plain values, of which Arrow has some that Python does not, such
        as dates after the year 9999."""
        with self._readable():
            found: list[dict[str, Any]] = batch.to_pylist()
            return found

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except UNUSABLE as error:
            raise InputError(
                f"{self._name} is not a readable {self._form} file ({first_line(error)})"
            ) from None


@contextmanager
def open_table(
    path: Path, columns: Collection[str] | None = None, rows: int = 4096, name: str | None = None
) -> Iterator[TableRows]:
    """The rows of a Parquet or `.arrow` file, at most so many in a batch; what is wrong with it is one line.

    columns: those that are read; None for all. name: what the line calls the file.
    """
    form = "Arrow" if path.suffix.lower() == ".arrow" else "Parquet"
    wanted = None if columns is None else list(columns)
    request = {"path": str(path.absolute()), "form": form, "columns": wanted, "rows": rows}
    with closing(ChildAnswer(TABLE, request, name or str(path))) as answer:
        yield TableRows(answer, form, name or str(path))


def read_tensor(path: Path) -> np.ndarray:
    """The one tensor in a `.pt` file, read without running code."""
    with closing(ChildAnswer(TENSOR, {"path": str(path.absolute())}, str(path))) as answer:
        about = answer.message()
        found = np.empty(about["shape"], about["dtype"])
        left = found.reshape(-1).view(np.uint8)
        for piece in answer.pieces():
            left[: len(piece)] = np.frombuffer(piece, np.uint8)
            left = left[len(piece) :]
        return found
