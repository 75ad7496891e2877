"""The lines of a text file, packed or not, read one at a time and within bounds."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rmlab.errors import InputError
from rmlab.storage.untrusted_bounds import TooMuch, check_unpacked

LONGEST = 2**26  # bytes of a line
_BUFFER = 1 << 20


class _Counted(io.RawIOBase):
    """The unpacked bytes; TooMuch once they are too many."""

    def __init__(self, packed: gzip.GzipFile, size: int) -> None:
        self._packed, self._size, self._unpacked = packed, size, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        found = self._packed.read(len(buffer))
        self._unpacked += len(found)
        check_unpacked(self._unpacked, self._size)
        buffer[: len(found)] = found
        return len(found)


@contextmanager
def opened(path: Path) -> Iterator[io.BufferedReader]:
    """The file's bytes; whatever reading them raises becomes one line."""
    try:
        with path.open("rb") as file:
            if path.suffix.lower() != ".gz":
                yield file
                return
            with gzip.GzipFile(fileobj=file) as packed:
                yield io.BufferedReader(_Counted(packed, path.stat().st_size), _BUFFER)
    except UnicodeDecodeError:
        raise
    except (OSError, EOFError, zlib.error, TooMuch) as error:
        raise InputError(f"{path} cannot be read ({error})") from None


def byte_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """(number from 1, line). Only line feeds end a line; a mark before the first is cut."""
    with opened(path) as file:
        number = 0
        while line := file.readline(LONGEST + 1):
            number += 1
            if len(line) > LONGEST:
                raise InputError(f"{path}, line {number}: longer than {LONGEST:,} bytes; split the row")
            yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line


def decoded(line: bytes, path: Path, number: int) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        where = f"{path}, line {number}"
        raise InputError(f"{where}: not UTF-8 (byte {error.start} of it); save the file as UTF-8") from None


@contextmanager
def text(path: Path) -> Iterator[io.TextIOBase]:
    """The file as text whose line ends are as they are; what is not UTF-8 is named by its line."""
    try:
        with opened(path) as file:
            yield io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    except UnicodeDecodeError:
        for number, line in byte_lines(path):
            decoded(line, path, number)
        raise
