"""Places as a user writes them, and names of folders that are taken from them."""

from __future__ import annotations

import re
from pathlib import Path

from rmlab.errors import InputError

_LONGEST = 80  # bytes of a name that is taken from elsewhere


def home_path(text: str) -> Path:
    """With ~ and ~user as the shell has them."""
    try:
        if "\0" in text:
            raise ValueError
        return Path(text).expanduser()
    except (RuntimeError, ValueError):  # of a user who is not known here
        raise InputError(f"{text}: no such place; write the path in full") from None


def folder_name(text: str) -> str:
    """Letters of any script. Folders that begin with a dot are hidden, and very long names refused."""
    plain = re.sub(r"[^\w.+-]+", "_", text).strip("._-")
    return plain.encode()[:_LONGEST].decode(errors="ignore") or "unnamed"
