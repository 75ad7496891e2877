"""A model that is made once and kept in the cache: whole or not there, made by one process, checked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rmlab.storage.integrity import is_as_sealed, seal_folder
from rmlab.storage.staged_folder import only_writer, staged_folder


def stored(target: Path, make: Callable[[Path], None]) -> Path:
    """The folder `target`, which `make` writes where it is not there or a file of it is damaged."""
    if not is_as_sealed(target):
        with only_writer(target):
            if not is_as_sealed(target):  # another process may have made it meanwhile
                with staged_folder(target) as folder:
                    make(folder)
                    seal_folder(folder)
    return target
