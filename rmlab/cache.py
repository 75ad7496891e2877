"""The user's cache: converted models, digests, logs without another place; safe to delete at any time."""

from __future__ import annotations

import os
from pathlib import Path

from rmlab.errors import RmlabError
from rmlab.home import home_path


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
