"""The file of a log: lines at its end, from several processes, whole or not at all."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

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
