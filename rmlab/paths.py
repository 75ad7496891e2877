"""Folders: the user's home, what rmlab ships, and its cache."""

from __future__ import annotations

import os
import re
from pathlib import Path

from rmlab.errors import InputError, RmlabError

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


_PACKAGE = Path(__file__).parent
PREFIX = "shipped:"


def shipped(name: str) -> Path:
    """The path of a shipped file or folder, such as `conf` or `data/prompts/openings.jsonl`."""
    for root in (_PACKAGE / "shipped", _PACKAGE.parent):
        if (root / name).exists():
            return root / name
    raise RmlabError(f"{name} is not shipped with this installation of rmlab; install it again")


def user_path(text: str) -> Path:
    """A path as a user writes it; `shipped:NAME` means a file in the shipped data folder."""
    if text.startswith(PREFIX):
        return shipped("data/" + text.removeprefix(PREFIX))
    return home_path(text)


def cache_folder(name: str) -> Path:
    """$RMLAB_CACHE, else rmlab in $XDG_CACHE_HOME or ~/.cache."""
    base = os.environ.get("RMLAB_CACHE")
    root = Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "rmlab"
    folder = home_path(str(root)) / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RmlabError(
            f"{folder}: {error.strerror}; point RMLAB_CACHE at a folder that can be written"
        ) from None
    return folder
