"""A folder that appears whole or not at all: built beside its place, swapped in at the end, by one writer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rmlab.machine import label
from rmlab.paths import home_path
from rmlab.storage.files import remove
from rmlab.storage.locks import locked
from rmlab.terminal import note


@contextmanager
def only_writer(target: Path) -> Iterator[Path]:
    """Yields the target in full. Waits, and says so, while another process writes into the folder it is in.

    What processes that were killed had begun beside the target goes; what they had moved aside comes back.
    """
    target = home_path(str(target)).absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    said = f"waits for another rmlab process that writes into {target.parent}"
    with locked(target.parent, lambda: note(said)):
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
