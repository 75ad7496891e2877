"""An error as plain data, which another process raises again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rmlab import errors
from rmlab.errors import RmlabError, WorkerError
from rmlab.logs.records import message_of, trace_of


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
