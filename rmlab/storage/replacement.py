"""An artifact that is made again: built beside the one that is there, which it replaces once it is whole."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from rmlab.errors import RmlabError
from rmlab.removal import move, put_in_place, remove_scratch, retire
from rmlab.storage.locks import locked
from rmlab.storage.manifest import MANIFEST, WORK
from rmlab.storage.owned import LOCK, own_files


def replacement_of(artifact: Path) -> Path:
    """The folder in which what will replace an artifact is built."""
    return artifact.with_name(f".{artifact.name}.new")


def replaced(artifact: Path) -> Path:
    """The folder that an artifact is moved to when its replacement takes its place."""
    return artifact.with_name(f".{artifact.name}.old")


def place_of_work(artifact: Path) -> Path:
    """The folder in which the next run goes on: that of the replacement, if one was begun."""
    beside = replacement_of(artifact)
    return beside if beside.is_dir() else artifact


def artifact_of(folder: Path) -> Path:
    """The artifact that a folder is, or is to replace."""
    name = folder.name.removeprefix(".").removesuffix(".new")
    return folder.with_name(name) if folder == replacement_of(folder.with_name(name)) else folder


def is_written(artifact: Path) -> bool:
    """True if a process is writing the artifact or its replacement now."""

    def busy() -> None:
        raise RmlabError

    try:
        with suppress(OSError):  # of another user
            if (artifact / LOCK).is_file():
                with locked(artifact / LOCK, busy):
                    pass
    except RmlabError:
        return True
    return False


def finish(artifact: Path) -> None:
    """Puts the whole replacement in its place. Of the old one, those files go that its records name."""
    remove_scratch(replacement_of(artifact) / WORK)
    put_in_place(replacement_of(artifact), artifact, replaced(artifact))
    _retire(artifact)


def _retire(artifact: Path) -> None:
    old = replaced(artifact)
    with suppress(OSError):
        remove_scratch(old / WORK)
        retire(old, own_files(old), artifact)


def settle(artifact: Path, busy: Callable[[], None]) -> None:
    """Ends an exchange that a process did not live to end.

    busy: called if another process is at it.
    """
    places = [p for p in (artifact, replaced(artifact), replacement_of(artifact)) if p.is_dir()]
    if places and is_unsettled(artifact):
        with locked(places[0] / LOCK, busy):
            if is_unsettled(artifact):  # another process may have ended it meanwhile
                _settle(artifact)


def is_unsettled(artifact: Path) -> bool:
    beside = replacement_of(artifact)
    return replaced(artifact).is_dir() or (beside / MANIFEST).is_file() or _is_alone(beside, artifact)


def _is_alone(beside: Path, artifact: Path) -> bool:
    return beside.is_dir() and not artifact.exists()


def _settle(artifact: Path) -> None:
    old, beside = replaced(artifact), replacement_of(artifact)
    if artifact.exists():
        _retire(artifact)
    if (beside / MANIFEST).is_file():
        finish(artifact)
    elif not artifact.exists():
        move(old if old.is_dir() else beside, artifact)
