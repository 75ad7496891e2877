"""The records of a run's log: as a line, as an error's whole story, and as lines of a file."""

from __future__ import annotations

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
from typing import Any


def shell_line(words: Sequence[str]) -> str:
    """What to type for these words; none of them can end the line."""
    return " ".join(shlex.quote(word) if word.isprintable() else _ansi_quoted(word) for word in words)


def shortened(text: str, most: int) -> str:
    """The two ends of a text that is too long."""
    half = most // 2
    return text if len(text) <= most else f"{text[:half]} ... {text[-half:]}"


def _escaped(letter: str) -> str:
    """As $'...' of a shell reads it; a byte that was no letter (Python's lone surrogate) as that byte."""
    number = ord(letter)
    if 0xDC80 <= number <= 0xDCFF:
        return f"\\x{number - 0xDC00:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _ansi_quoted(word: str) -> str:
    safe = re.sub(r"([\\'])", r"\\\1", word)
    return "$'" + "".join(c if c.isprintable() else _escaped(c) for c in safe) + "'"


LONGEST = 200_000  # letters of a line
_CUT = LONGEST // 16  # of each text in a line that would be longer: an escape takes up to twelve


def line(event: str, level: str, fields: dict[str, Any]) -> bytes:
    """In ASCII, so that no text can end the line, whatever it holds."""
    head = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "level": level, "event": event}
    head["pid"] = os.getpid()  # type: ignore[assignment]
    text = _json(head | fields)
    if text is None or len(text) > LONGEST:
        text = json.dumps(head | {"cut": shortened(repr(fields), _CUT)})
    return text.encode("ascii") + b"\n"


def _json(value: dict[str, Any]) -> str | None:
    """None for what JSON cannot tell."""
    try:
        return json.dumps(value, allow_nan=False, default=str)
    except (ValueError, TypeError, RecursionError):
        return None


def message_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "a message that cannot be made"


def trace_of(error: BaseException) -> str:
    """Where it was raised, and after it the errors that it came from, those that its message hides too."""
    parts: list[str] = []
    known: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in known:
        known.add(id(cause))
        parts.append("".join(traceback.format_exception(cause, chain=False)))
        cause = cause.__cause__ or cause.__context__
    return shortened("\nIt came from:\n".join(parts), _CUT)


KEPT = 100  # logs of a folder
_NAME = re.compile(r"\d{8}T\d{6}Z-[a-z-]+-\d+(-\d+)?\.jsonl")


@dataclass(frozen=True)
class LogFile:
    path: Path
    descriptor: int

    @classmethod
    def create(cls, folder: Path, command: str) -> LogFile:
        """A new one; the oldest of the folder make room for it."""
        folder.mkdir(parents=True, exist_ok=True)
        _make_room(folder)
        for name in _names(command):
            with suppress(FileExistsError):
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
                return cls(folder / name, os.open(folder / name, flags, 0o644))
        raise FileExistsError(folder)

    @classmethod
    def join(cls, path: Path) -> LogFile:
        """One that another process has begun."""
        return cls(path, os.open(path, os.O_WRONLY | os.O_APPEND))

    def append(self, line: bytes) -> bool:
        """Whether it is written. Of a line that a full disk has cut, nothing stays."""
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


def _names(command: str) -> Iterator[str]:
    """The process's own; another machine on the same disk may have a process of that number."""
    first = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{command}-{os.getpid()}"
    yield f"{first}.jsonl"
    yield from (f"{first}-{n}.jsonl" for n in range(2, KEPT))


def _make_room(folder: Path) -> None:
    """By the time of the last line: those of running processes are never the oldest."""
    ages: list[tuple[float, Path]] = []
    for entry in os.scandir(folder):
        with suppress(OSError):
            if _NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                ages.append((entry.stat().st_mtime, Path(entry.path)))
    for _, path in sorted(ages)[: max(0, len(ages) - KEPT + 1)]:
        with suppress(OSError):
            path.unlink()
