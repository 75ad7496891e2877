"""The log of this process's run, held in memory until the folder of its file is known.

An error while logging is ignored: it neither ends the run nor prints anything. Outside a run nothing is
logged.
"""

from __future__ import annotations

import os
import platform
import re
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rmlab.logs.records import LogFile, line, message_of, shell_line, trace_of
from rmlab.machine import this_process
from rmlab.paths import cache_folder, home_path
from rmlab.provenance import git_state, versions

FOLDER = "logs"
_FILE = "RMLAB_LOG"  # tells a worker process where its parent's log is
_MOST_TROUBLES = 200
_MOST_HELD = 1000  # records in memory; with more, the first and the latest are kept
_ENVIRONMENT = (
    *("RMLAB_CACHE", "RMLAB_DEBUG", "XDG_CACHE_HOME", "HF_HOME", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"),
    *("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
    *("TMPDIR", "LANG", "LC_ALL", "TZ", "PYTHONHASHSEED", "PYTHONPATH", "VIRTUAL_ENV"),
)


@dataclass
class _Log:
    command: str
    file: LogFile | None = None
    held: list[bytes] = field(default_factory=list)
    is_written: bool = False  # true if the latest record is in the file
    has_begun: bool = False
    has_versions: bool = False
    troubles: int = 0
    started: float = field(default_factory=time.monotonic)

    def add(self, record: bytes) -> None:
        self.held.append(record)
        if len(self.held) > _MOST_HELD:
            del self.held[1 : 1 + _MOST_HELD // 10]
        self.is_written = self.file is not None and self.file.append(record)

    def move_to(self, folder: Path) -> None:
        """Starts a file in the folder and writes the records held in memory to it."""
        file = LogFile.create(folder, self.command)
        for record in self.held:
            self.is_written = file.append(record)
        if self.file:
            self.file.close()
        self.file = file


_log: _Log | None = None


def start(arguments: Sequence[str]) -> None:
    """Starts the log of a run. arguments: its sys.argv."""
    global _log  # noqa: PLW0603, a process has one run
    names = (a for a in arguments[1:] if re.fullmatch("[a-z-]{1,20}", a) and not a.startswith("-"))
    _log = _Log(next(names, "rmlab"))
    event(
        "start",
        command=shell_line(["rmlab", *arguments[1:]]),
        folder=_folder(),
        python=sys.version,
        platform=platform.platform(),
        **this_process(),
        cores=os.cpu_count(),
        environment={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
    )


def join() -> None:
    """In a worker process, continues the log of the parent process, if that has a file."""
    global _log  # noqa: PLW0603
    with suppress(KeyError, OSError, ValueError):
        _log = _Log("worker", LogFile.join(Path(os.environ[_FILE])))


def for_workers() -> dict[str, str]:
    """The environment variables that worker processes need to `join` this log."""
    return {_FILE: str(_log.file.path.absolute())} if _log and _log.file else {}


def keep_in(out: str, settings: Mapping[str, Any]) -> None:
    """Writes the log to a file under the folder `out` from now on; if that fails, it stays in memory."""
    if _log is None or _log.has_begun:
        return
    _log.has_begun = True
    with suppress(Exception):
        _log.move_to(home_path(out) / FOLDER)
    _versions()
    event("settings", settings=settings)


def is_kept() -> bool:
    """True within a run, whose log this is."""
    return _log is not None


def has_begun() -> bool:
    """True once the run has begun to make artifacts."""
    return _log is not None and _log.has_begun


def event(event: str, level: str = "info", **fields: Any) -> None:
    """Adds a record to the log. level: info, warning or error."""
    if _log is not None:
        with suppress(Exception):
            _log.add(line(event, level, fields))


def failure(error: BaseException) -> None:
    """Logs the error that ended the run, with its traceback, which the terminal does not show."""
    _log_error(error, "failure", "error", {})


def trouble(error: BaseException, **fields: Any) -> None:
    """Logs an error that ended only a part of the work, such as a cell of a sweep, up to a limit of
    records."""
    if _log is not None:
        _log.troubles += 1
        if _log.troubles <= _MOST_TROUBLES:
            _log_error(error, "trouble", "warning", fields)


def stopped(what: str, error: BaseException) -> None:
    """Logs that an error, or the user, stopped a stage. what: the label of the stage."""
    _log_error(error, "stopped", "warning", {"what": what})


def _log_error(error: BaseException, kind: str, level: str, fields: dict[str, Any]) -> None:
    if _log is not None:
        with suppress(Exception):
            told = {"kind": type(error).__name__, "message": message_of(error), "trace": trace_of(error)}
            event(kind, level, **fields, **told)


def saved() -> Path | None:
    """The file that holds the latest record: the log's own or, if that failed, one in the user's cache."""
    if _log is None:
        return None
    if not _log.is_written:
        _versions()
        with suppress(Exception):
            _log.move_to(cache_folder(FOLDER))
    return _log.file.path if _log.file and _log.is_written else None


def end(code: int) -> None:
    if _log is not None:
        event("end", code=code, seconds=round(time.monotonic() - _log.started, 3))


def stop() -> None:
    global _log  # noqa: PLW0603
    if _log is not None and _log.file:
        _log.file.close()
    _log = None


def _folder() -> str | None:
    """The current folder, or None if it was deleted."""
    try:
        return str(Path.cwd())
    except OSError:
        return None


def _versions() -> None:
    """Logs versions and git state, once. Not at the start: git is slower than a command that only reads."""
    if _log is None or _log.has_versions:
        return
    _log.has_versions = True
    with suppress(Exception):
        event("versions", versions=versions(), git=git_state())
