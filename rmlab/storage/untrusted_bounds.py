"""The bounds on what strangers' files may take, and how the process that opens them answers."""

from __future__ import annotations

import json
from multiprocessing.connection import Connection
from typing import Any

TABLE, TENSOR, TEMPLATE = "table", "tensor", "template"  # kinds of readers
MEMORY, FILE_TIMES = 2**30, 4  # bytes that reading may take, and times the file's size in addition
UNPACKED, TIMES = 2**29, 200  # a file may unpack to so many bytes, or to so many times its own
PIECE = 2**24  # bytes that are sent at once


class Refused(Exception):
    """The message says what is wrong with the file, and follows its name."""


class TooMuch(ValueError):
    """A small file unpacks to more than it may."""


def check_unpacked(n: int, packed: int) -> None:
    """TooMuch where a file of `packed` bytes has unpacked to more than it may. n: bytes so far."""
    if n > (most := max(UNPACKED, TIMES * packed)):
        raise TooMuch(f"it unpacks to more than {most:,} bytes, {TIMES} times what it has")


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def tell(to: Connection, message: dict[str, Any], data: Any = None) -> None:
    to.send_bytes(json.dumps(message).encode())
    if data is not None:
        to.send_bytes(data)
