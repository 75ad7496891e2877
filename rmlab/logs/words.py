"""Text that others wrote, for one line of a terminal."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence


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
