"""The log of this process's run, held in memory until a folder for it is known.

Nothing that goes wrong with a log ends a run or adds to what it says; outside a run nothing is recorded.
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
from rmlab.paths import cache_folder, home_path
from rmlab.provenance import git_state, versions

FOLDER = "logs"
_FILE = "RMLAB_LOG"  # tells a worker process where its parent's log is
_TROUBLES = 200
_HELD = 1000  # records in memory; of more, the first and the last
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
    is_written: bool = False  # the last record
    has_begun: bool = False
    has_versions: bool = False
    troubles: int = 0
    started: float = field(default_factory=time.monotonic)

    def add(self, record: bytes) -> None:
        self.held.append(record)
        if len(self.held) > _HELD:
            del self.held[1 : 1 + _HELD // 10]
        self.is_written = self.file is not None and self.file.append(record)

    def move_to(self, folder: Path) -> None:
        """Begins a file there, with what is held."""
        file = LogFile.create(folder, self.command)
        for record in self.held:
            self.is_written = file.append(record)
        if self.file:
            self.file.close()
        self.file = file


_log: _Log | None = None


def start(arguments: Sequence[str]) -> None:
    """arguments: sys.argv of the run."""
    global _log  # noqa: PLW0603, one run a process
    names = (a for a in arguments[1:] if re.fullmatch("[a-z-]{1,20}", a) and not a.startswith("-"))
    _log = _Log(next(names, "rmlab"))
    event(
        "start",
        command=shell_line(["rmlab", *arguments[1:]]),
        folder=_folder(),
        python=sys.version,
        platform=platform.platform(),
        cores=os.cpu_count(),
        environment={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
    )


def join() -> None:
    """In a worker process: the log of the parent, where it has a file."""
    global _log  # noqa: PLW0603
    with suppress(KeyError, OSError, ValueError):
        _log = _Log("worker", LogFile.join(Path(os.environ[_FILE])))


def for_workers() -> dict[str, str]:
    """What their environment must say, for them to join."""
    return {_FILE: str(_log.file.path.absolute())} if _log and _log.file else {}


def keep_in(out: str, settings: Mapping[str, Any]) -> None:
    """From now on in a file of the artifacts' folder. Without room or permission there, in memory alone."""
    if _log is None or _log.has_begun:
        return
    _log.has_begun = True
    with suppress(Exception):
        _log.move_to(home_path(out) / FOLDER)
    _versions()
    event("settings", settings=settings)


def has_begun() -> bool:
    """Whether artifacts are being made."""
    return _log is not None and _log.has_begun


def event(event: str, level: str = "info", **fields: Any) -> None:
    """level: info, warning or error."""
    if _log is not None:
        with suppress(Exception):
            _log.add(line(event, level, fields))


def failure(error: BaseException) -> None:
    """What ended the run, as it was raised, whatever the terminal says of it."""
    _tell_of(error, "failure", "error", {})


def trouble(error: BaseException, **fields: Any) -> None:
    """What ended a part of the work alone, such as the cell of a sweep; the first of a process."""
    if _log is not None:
        _log.troubles += 1
        if _log.troubles <= _TROUBLES:
            _tell_of(error, "trouble", "warning", fields)


def stopped(what: str, error: BaseException) -> None:
    """Which stage an error, or the user, put an end to, and where."""
    _tell_of(error, "stopped", "warning", {"what": what})


def _tell_of(error: BaseException, kind: str, level: str, fields: dict[str, Any]) -> None:
    if _log is not None:
        with suppress(Exception):
            told = {"kind": type(error).__name__, "message": message_of(error), "trace": trace_of(error)}
            event(kind, level, **fields, **told)


def saved() -> Path | None:
    """Where the last record can be read: the log's file, else one in the user's cache."""
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
    """None where it was deleted."""
    try:
        return str(Path.cwd())
    except OSError:
        return None


def _versions() -> None:
    """Not at the start: to ask git takes longer than what a command that only reads has to do."""
    if _log is None or _log.has_versions:
        return
    _log.has_versions = True
    with suppress(Exception):
        event("versions", versions=versions(), git=git_state())
