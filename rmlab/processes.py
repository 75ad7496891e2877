"""Child processes: they start afresh, end with their parent, and their errors are raised in the parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Any

from rmlab import errors
from rmlab.errors import RmlabError, WorkerError
from rmlab.logs.records import message_of, trace_of


def start_child(
    module: str, *arguments: str, environment: Mapping[str, str], **streams: Any
) -> subprocess.Popen[bytes]:
    """Starts `python -m module` afresh, so that its environment holds from its first instant.

    It imports from where this process does, and from no other folder. It is in a session of its own: Ctrl-C
    at the terminal reaches this process alone, which ends the child. Nothing is written to its standard
    input, which stays open for as long as this process lives: see `end_with_parent`.
    """
    search = {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONSAFEPATH": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env={**os.environ, **search, **environment},
        stdin=subprocess.PIPE,
        start_new_session=True,
        **streams,
    )


def end_with_parent() -> None:
    """In a child: ends it, and the processes that it has started, as soon as its standard input ends.

    That happens when the parent closes it, and when the parent dies, however it does.
    """
    threading.Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)


class _InWorker(Exception):
    """The traceback of an error in a child, for whoever looks at the traceback here."""


def error_to_json(error: Exception) -> dict[str, Any]:
    """The error as plain data, from which another process can raise it again whatever it has imported."""
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


def error_from_json(told: Mapping[str, Any]) -> Exception:
    """The error, whose cause tells where it was raised."""
    error = _error(told)
    error.__cause__ = _InWorker(f"in the worker process\n{told['trace']}")
    return error


def _error(told: Mapping[str, Any]) -> Exception:
    known = getattr(errors, told["kind"], None)
    if isinstance(known, type) and issubclass(known, RmlabError):
        return known(told["message"])
    if "system" in told and told["system"][0] is not None:
        return OSError(*told["system"])
    if told["kind"] == "MemoryError":
        return MemoryError(told["message"])
    return WorkerError(f"{told['kind']} in a worker process: {told['message']}")
