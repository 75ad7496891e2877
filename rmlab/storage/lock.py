"""One writer at a time of what users name themselves, such as a set or an export, and none's remains kept."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rmlab.paths import home_path


@contextmanager
def only_writer(target: Path) -> Iterator[None]:
    """Waits, and says so, while another process writes into the folder that the target is in.

    What processes that were killed had begun beside the target goes; what they had moved aside comes back.
    """
    target = home_path(str(target)).absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        if _lock(folder, target):
            _mend(target)
        yield
    finally:
        os.close(folder)


def _lock(folder: int, target: Path) -> bool:
    """False where the file system has no locks: then nobody knows what is still being written."""
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            said = f"waits for another rmlab process that writes into {target.parent}"
            print(said, file=sys.stderr, flush=True)
            fcntl.flock(folder, fcntl.LOCK_EX)
    except OSError:
        return False
    return True


def _mend(target: Path) -> None:
    for old in _left(target, "old"):
        if target.exists():
            _remove(old)
        else:
            old.rename(target)
    for unfinished in _left(target, "tmp"):
        _remove(unfinished)


def _left(target: Path, end: str) -> list[Path]:
    """.NAME.PROCESS.END beside the target, the newest first."""
    named = re.compile(rf"\.{re.escape(target.name)}\.\d+\.{end}")
    found = [path for path in target.parent.iterdir() if named.fullmatch(path.name)]
    return sorted(found, key=lambda path: path.lstat().st_mtime_ns, reverse=True)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
