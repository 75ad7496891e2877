"""Records of a run's log: their JSON lines, the text of errors, and the files that hold them."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from rmlab.machine import has_ended
from rmlab.removal import remove_file

LONGEST = 200_000  # characters of a line
_CUT = LONGEST // 16  # characters of a text that is cut; an escape takes up to twelve
KEPT = 100  # logs in a folder
_NAME = re.compile(r"\d{8}T\d{6}Z-[a-z-]+-\d+(-\d+)?\.jsonl")


def line(event: str, level: str, fields: dict[str, Any]) -> bytes:
    """One record as a line of JSON, in ASCII, so that no character within it can end the line."""
    head = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "level": level, "event": event}
    head["pid"] = os.getpid()  # type: ignore[assignment]
    text = _json(head | fields)
    if text is None or len(text) > LONGEST:
        text = json.dumps(head | {"cut": shortened(repr(fields), _CUT)})
    return text.encode("ascii") + b"\n"


def _json(value: dict[str, Any]) -> str | None:
    """The value as JSON, or None if JSON cannot represent it."""
    try:
        return json.dumps(value, allow_nan=False, default=str)
    except (ValueError, TypeError, RecursionError):
        return None


def message_of(error: BaseException) -> str:
    """The message of an error, even of one whose __str__ fails."""
    try:
        return str(error)
    except Exception:
        return "(its message cannot be made)"


def trace_of(error: BaseException) -> str:
    """The traceback of an error, followed by those of its causes, also of suppressed ones (`from None`)."""
    parts: list[str] = []
    known: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in known:
        known.add(id(cause))
        parts.append("".join(traceback.format_exception(cause, chain=False)))
        cause = cause.__cause__ or cause.__context__
    return shortened("\nIt came from:\n".join(parts), _CUT)


def shortened(text: str, most: int) -> str:
    """The text, or its beginning and end if it is longer than `most` characters."""
    half = most // 2
    return text if len(text) <= most else f"{text[:half]} ... {text[-half:]}"


def shell_line(words: Sequence[str]) -> str:
    """A shell command of these words, quoted so that it is always one line."""
    return " ".join(shlex.quote(word) if word.isprintable() else _ansi_quoted(word) for word in words)


def _ansi_quoted(word: str) -> str:
    safe = re.sub(r"([\\'])", r"\\\1", word)
    return "$'" + "".join(c if c.isprintable() else _escaped(c) for c in safe) + "'"


def _escaped(letter: str) -> str:
    """The escape of one character within a shell's $'...'; a lone surrogate is the byte that it stands
    for."""
    number = ord(letter)
    if 0xDC80 <= number <= 0xDCFF:
        return f"\\x{number - 0xDC00:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


@dataclass(frozen=True)
class LogFile:
    """An open log file, to which several processes may append."""

    path: Path
    descriptor: int

    @classmethod
    def create(cls, folder: Path, command: str) -> LogFile:
        """Starts a new file; if the folder is full, the oldest logs of runs that have ended are deleted."""
        folder.mkdir(parents=True, exist_ok=True)
        _make_room(folder)
        for name in _names(command):
            with suppress(FileExistsError):
                return cls(folder / name, _opened(folder / name, os.O_CREAT | os.O_EXCL))
        raise FileExistsError(folder)

    @classmethod
    def join(cls, path: Path) -> LogFile:
        """Opens a file that another process has started."""
        return cls(path, _opened(path, 0))

    def append(self, line: bytes) -> bool:
        """Writes a line and returns True if all of it is written; a line cut by a full disk is removed."""
        written = 0
        with suppress(OSError):
            written = os.write(self.descriptor, line)
            if 0 < written < len(line):
                end = os.lseek(self.descriptor, 0, os.SEEK_CUR)
                if os.fstat(self.descriptor).st_size == end:  # no other process has written since
                    os.ftruncate(self.descriptor, end - written)
        return written == len(line)

    def close(self) -> None:
        with suppress(OSError):
            os.close(self.descriptor)


def _opened(path: Path, flags: int) -> int:
    """Opens a log for appending. Each process that writes to it shares a lock that says that it is in use."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | flags, 0o644)
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    return descriptor


def _names(command: str) -> Iterator[str]:
    """File names to try: numbered ones follow, as another machine may have a process of the same id."""
    first = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{command}-{os.getpid()}"
    yield f"{first}.jsonl"
    yield from (f"{first}-{n}.jsonl" for n in range(2, KEPT))


def logs_in(folder: Path) -> list[Path]:
    """The logs in a folder, the oldest name first."""
    if not folder.is_dir():
        return []
    names = (entry for entry in os.scandir(folder) if _NAME.fullmatch(entry.name))
    return sorted(Path(entry.path) for entry in names if entry.is_file(follow_symlinks=False))


def _make_room(folder: Path) -> None:
    """Deletes the logs that were written to longest ago, but for those of runs that may not have ended."""
    ages: list[tuple[float, Path]] = []
    for path in logs_in(folder):
        with suppress(OSError):
            ages.append((path.stat().st_mtime, path))
    for _, path in sorted(ages)[: max(0, len(ages) - KEPT + 1)]:
        with suppress(OSError):
            if not is_in_use(path):
                remove_file(path)


def is_in_use(path: Path) -> bool:
    """By its lock, or where the file system has none, by what it says of its own process and its end."""
    with path.open("rb+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return not _says_that_it_ended(file)
    return False


def _says_that_it_ended(file: BinaryIO) -> bool:
    with suppress(ValueError, AttributeError):
        first = json.loads(file.readline(LONGEST))
        file.seek(-min(LONGEST, file.seek(0, os.SEEK_END)), os.SEEK_END)
        last = json.loads(file.read().splitlines()[-1])
        return last.get("event") == "end" or has_ended(first)
    return False
