"""Paths: those that users write, files that rmlab ships, and its cache."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePath
from typing import Any

from rmlab.errors import InputError, RmlabError

_PACKAGE = Path(__file__).parent
PREFIX = "shipped:"
_LONGEST = 80  # bytes of a folder name


def home_path(text: str) -> Path:
    """Returns the path with ~ and ~user expanded as in a shell."""
    try:
        if "\0" in text:
            raise ValueError
        return Path(text).expanduser()
    except (RuntimeError, ValueError):  # an unknown user
        why = "there is no home folder; set HOME, or" if f"{text}/".startswith("~/") else "no such place;"
        raise InputError(f"{text}: {why} write the path in full") from None


def nearest(place: Path) -> Path:
    """Returns the place itself where something is there, else the nearest folder above it that is there."""
    return next((part for part in (place, *place.parents) if os.path.lexists(part)), place)


def folder_name(text: str) -> str:
    """Returns the text as a folder name: letters of any script, no leading dot (hidden), not too long."""
    plain = re.sub(r"[^\w.+-]+", "_", text).strip("._-")
    return plain.encode()[:_LONGEST].decode(errors="ignore") or "unnamed"


def shipped(name: str) -> Path:
    """Returns the path of a shipped file or folder, such as `conf` or `data/prompts/openings.jsonl`."""
    for root in (_PACKAGE / "shipped", _PACKAGE.parent):
        if (root / name).exists():
            return root / name
    raise RmlabError(f"{name} is not shipped with this installation of rmlab; install it again")


_FOLDERS = re.compile(r"""(?<![^\s='"(\[,])((?:file://|sqlite:///)?)((?:~|\.{1,2})?/[^\s'",)\]]*)""")


def without_folders(value: Any) -> Any:
    """Returns a plain value with the last part of each path in the place of the path, for others who need not
    know this machine: of paths that begin with / or ~ or a dot, anywhere in its texts."""
    if isinstance(value, dict):
        return {key: without_folders(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(part) for part in value]
    if isinstance(value, str):
        return _FOLDERS.sub(lambda found: found[1] + (PurePath(found[2]).name or found[2]), value)
    return value


def user_path(text: str) -> Path:
    """Returns a path that a user wrote; `shipped:NAME` is a file in the shipped data folder."""
    if text.startswith(PREFIX):
        return shipped("data/" + text.removeprefix(PREFIX))
    return home_path(text)


def cache_folder(name: str) -> Path:
    """Makes and returns a folder in $RMLAB_CACHE, else in rmlab in $XDG_CACHE_HOME or ~/.cache."""
    base = os.environ.get("RMLAB_CACHE")
    root = Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "rmlab"
    try:
        folder = home_path(str(root)) / name
    except InputError as error:
        raise RmlabError(f"{error}; or point RMLAB_CACHE at a folder that can be written") from None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RmlabError(
            f"{folder}: {error.strerror}; point RMLAB_CACHE at a folder that can be written"
        ) from None
    return folder
