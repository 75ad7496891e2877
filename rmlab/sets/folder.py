"""A folder that appears whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rmlab.errors import InputError
from rmlab.paths import home_path
from rmlab.storage.lock import only_writer
from rmlab.storage.set_record import RECORD


@contextmanager
def new_set_folder(target: Path, force: bool) -> Iterator[Path]:
    """Yields a hidden folder beside the target, which takes its place at the end; nothing stays on a failure.

    force: a set that is there already goes, once the new one is whole; any other folder is left alone.
    """
    target = home_path(str(target)).absolute()
    check_free(target, force)
    with only_writer(target):
        check_free(target, force)  # another process may have made it meanwhile
        made, old = (target.with_name(f".{target.name}.{os.getpid()}.{end}") for end in ("tmp", "old"))
        made.mkdir()
        try:
            yield made
            _exchange(target, made, old)
        finally:
            shutil.rmtree(made, ignore_errors=True)
            if target.exists():
                shutil.rmtree(old, ignore_errors=True)


def _exchange(target: Path, made: Path, old: Path) -> None:
    """What was there comes back if the new set cannot take its place."""
    try:
        if target.exists():
            target.rename(old)
        made.rename(target)
    except BaseException:
        if old.exists() and not target.exists():
            old.rename(target)
        raise


def check_free(target: Path, force: bool) -> None:
    """InputError where something is in the way."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not (target / RECORD).is_file():
        raise InputError(f"{target} is there and is no embedding set; give another place")
    if not force:
        raise InputError(f"{target} is there already; give another place, or --force to replace it")
