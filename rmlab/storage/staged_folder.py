"""A folder that appears whole or not at all: built beside its place, swapped in at the end, by one writer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rmlab.machine import label
from rmlab.paths import home_path
from rmlab.removal import move, open_to_others, put_in_place, refuse_link, remove_file, remove_scratch, retire
from rmlab.storage.locks import locked
from rmlab.storage.owned import own_files
from rmlab.terminal import note

_MARK = "unfinished"  # a file in a working folder, which says that rmlab made it


@contextmanager
def only_writer(target: Path) -> Iterator[Path]:
    """Yields the target in full. Waits, and says so, while another process writes into the folder it is in.

    What processes that were killed had begun beside the target goes; what they had moved aside comes back.
    """
    target = home_path(str(target)).absolute()
    refuse_link(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    said = f"waits for another rmlab process that writes into {target.parent}"
    with locked(target.parent, lambda: note(said)):
        _mend(target)
        yield target


@contextmanager
def staged_folder(target: Path) -> Iterator[Path]:
    """Yields an empty folder that takes the target's place at the end; nothing of it stays after a failure.

    For the target's only writer. Of what was there the files that its own record names go, and the others
    come into the new folder. All of it comes back where the new folder cannot take its place.
    """
    work, old = (target.with_name(f".{target.name}.{label()}.{end}") for end in ("tmp", "old"))
    work.mkdir()
    try:
        (work / _MARK).touch()
        made = work / target.name
        made.mkdir()
        yield made
        open_to_others(made)
        put_in_place(made, target, old)
        with suppress(OSError):
            retire(old, own_files(old), target)
    finally:
        _discard(work)


def clear_leftovers(target: Path) -> None:
    """Does what the next writer would do first, for a command that may find nothing left to write."""
    target = home_path(str(target)).absolute()
    if target.parent.is_dir() and (_left(target, "tmp") or _left(target, "old")):
        with only_writer(target):
            pass


def _mend(target: Path) -> None:
    for old in _left(target, "old"):
        if not target.exists():
            move(old, target)
    for old in _left(target, "old"):
        with suppress(OSError):
            retire(old, own_files(old), target)
    for left in _left(target, "tmp"):
        with suppress(OSError):
            _discard(left)


def _discard(left: Path) -> None:
    """Removes a temporary file, or a working folder that is empty or has the mark, which goes last."""
    if not left.is_dir():
        remove_file(left)
    elif (left / _MARK).is_file():
        for made in left.iterdir():
            if made.name != _MARK:
                remove_scratch(made)
        remove_scratch(left)
    elif not any(left.iterdir()):
        remove_scratch(left)


def _left(target: Path, end: str) -> list[Path]:
    """.NAME.MACHINE-PROCESS.END beside the target, the newest first, without links."""
    named = re.compile(rf"\.{re.escape(target.name)}\.([A-Za-z0-9-]+-)?\d+\.{end}")
    found = [p for p in target.parent.iterdir() if named.fullmatch(p.name) and not p.is_symlink()]
    return sorted(found, key=lambda path: path.lstat().st_mtime_ns, reverse=True)
