"""Locks: by the system, or, where a file system has none, by a file that names its holder.

The system's lock ends with its process. The file does not: what a process of this machine has left is taken
away once that has ended, and for what another machine has left the message names the file to remove.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rmlab.errors import RmlabError
from rmlab.machine import has_ended, this_process
from rmlab.removal import remove_file
from rmlab.terminal import note

Busy = Callable[[], None]
_HELD = ".rmlab-held"  # the end of the name of a file that names its holder
_AGAIN = 1.0  # seconds between two looks at it


@contextmanager
def locked(place: Path, busy: Busy) -> Iterator[None]:
    """Holds the lock on a folder or file, which no other process holds meanwhile.

    busy: called once where another process holds it; unless it raises, the lock is waited for.
    """
    opened = _open(place)
    try:
        while (is_ours := _by_system(opened, busy)) and not _is_still(place, opened):
            os.close(opened)  # what had the place was replaced while this process came to it
            opened = _open(place)
        if is_ours:
            yield
        else:
            with _by_file(place, busy):
                yield
    finally:
        os.close(opened)


def _open(place: Path) -> int:
    return os.open(place, os.O_RDONLY if place.is_dir() else os.O_RDWR | os.O_CREAT, 0o666)


def _is_still(place: Path, opened: int) -> bool:
    try:
        return os.path.samestat(place.stat(), os.fstat(opened))
    except FileNotFoundError:
        return False


def _by_system(opened: int, busy: Busy) -> bool:
    """False where the file system cannot lock: ENOLCK, ENOSYS, EOPNOTSUPP; on NFS EBADF for folders."""
    try:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # EACCES, too, says that somebody holds it
            busy()
            fcntl.flock(opened, fcntl.LOCK_EX)
    except OSError:
        return False
    return True


@contextmanager
def _by_file(place: Path, busy: Busy) -> Iterator[None]:
    """A file that only one process can create, beside the folder that a locked file is in."""
    file = place / _HELD if place.is_dir() else place.parent.with_name(f".{place.parent.name}{_HELD}")
    text, has_told = json.dumps(this_process()).encode(), False
    while not _created(file, text):
        holder = _holder(file)
        if has_ended(holder) and _taken_away(file):
            continue
        if not has_told:
            _tell(busy, _who(file, holder))
            has_told = True
        time.sleep(_AGAIN)
    try:
        yield
    finally:
        with suppress(OSError):
            if file.read_bytes() == text:
                remove_file(file)


def _created(file: Path, text: bytes) -> bool:
    try:
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return False
    try:
        os.write(opened, text)
        os.fsync(opened)
    except OSError:
        remove_file(file)
        raise
    finally:
        os.close(opened)
    return True


def _holder(file: Path) -> Mapping[str, Any]:
    """The record that the file has of its process; {} where it is gone, or not yet written."""
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _taken_away(file: Path) -> bool:
    """Removes what a process of this machine has left; False where it cannot be told that nobody else does.

    Of the processes of this machine one alone does so, under a lock in a folder that the machine has for
    itself; and no other machine does.
    """
    try:
        opened = os.open(
            Path(tempfile.gettempdir()) / f"rmlab-{os.getuid()}.lock",
            os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW,
            0o600,
        )
    except OSError:
        return False
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        if has_ended(_holder(file)):
            remove_file(file)
    except OSError:
        return False
    finally:
        os.close(opened)
    return True


def _tell(busy: Busy, who: str) -> None:
    try:
        busy()
    except RmlabError as error:
        raise type(error)(f"{error}; {who}") from None
    note(who)


def _who(file: Path, holder: Mapping[str, Any]) -> str:
    named = f"process {holder.get('process')} of {holder.get('host')}" if holder else "some process"
    return f"there are no locks here, and {file} says that {named} is at it; if that has ended, remove it"
