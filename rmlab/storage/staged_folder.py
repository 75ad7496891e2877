"""A folder that appears whole or not at all: built beside its place, swapped in at the end, by one writer."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rmlab.machine import label
from rmlab.paths import home_path
from rmlab.storage.files import remove
from rmlab.terminal import note


@contextmanager
def locked(place: Path, busy: Callable[[], None]) -> Iterator[bool]:
    """Holds the lock on a folder or file; yields False where the file system has no locks.

    busy: called if another process holds it; unless this raises, the lock is waited for.
    """
    opened = os.open(place, os.O_RDONLY if place.is_dir() else os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield _lock(opened, busy)
    finally:
        os.close(opened)


def _lock(opened: int, busy: Callable[[], None]) -> bool:
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        busy()
        fcntl.flock(opened, fcntl.LOCK_EX)
    except OSError:
        return False
    return True


@contextmanager
def only_writer(target: Path) -> Iterator[Path]:
    """Yields the target in full. Waits, and says so, while another process writes into the folder it is in.

    What processes that were killed had begun beside the target goes; what they had moved aside comes back.
    """
    target = home_path(str(target)).absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    said = f"waits for another rmlab process that writes into {target.parent}"
    with locked(target.parent, lambda: note(said)) as is_alone:
        if is_alone:  # else nobody knows what is still being written
            _mend(target)
        yield target


@contextmanager
def staged_folder(target: Path) -> Iterator[Path]:
    """Yields an empty folder that takes the target's place at the end; nothing of it stays after a failure.

    For the target's only writer. What was there comes back where the new folder cannot take its place.
    """
    made, old = (target.with_name(f".{target.name}.{label()}.{end}") for end in ("tmp", "old"))
    made.mkdir()
    try:
        yield made
        with suppress(FileNotFoundError):
            target.rename(old)
        made.rename(target)
    finally:
        if old.exists() and not target.exists():
            old.rename(target)
        for left in (made, old):
            with suppress(OSError):
                remove(left)


def _mend(target: Path) -> None:
    for old in _left(target, "old"):
        if not target.exists():
            old.rename(target)
    for left in [*_left(target, "old"), *_left(target, "tmp")]:
        with suppress(OSError):
            remove(left)


def _left(target: Path, end: str) -> list[Path]:
    """.NAME.MACHINE-PROCESS.END beside the target, the newest first."""
    named = re.compile(rf"\.{re.escape(target.name)}\.([A-Za-z0-9-]+-)?\d+\.{end}")
    found = [path for path in target.parent.iterdir() if named.fullmatch(path.name)]
    return sorted(found, key=lambda path: path.lstat().st_mtime_ns, reverse=True)
