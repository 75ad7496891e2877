"""Everything that removes, moves or replaces files; no other module does it by itself.

A file is removed only if a record of rmlab names it, or if it lies in a working folder that rmlab made.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from rmlab.errors import InputError

_SHOWN = 3  # names in a message


def refuse_link(place: Path) -> None:
    """InputError if the place is a link: what it leads to is not known to be rmlab's."""
    if place.is_symlink():
        raise InputError(
            f"{place} is a link, and rmlab writes and removes nothing through one; remove the link, "
            "or give another place"
        )


def refuse_links_in(folder: Path) -> None:
    """InputError if a folder is a link, or if there is one anywhere in it."""
    refuse_link(folder)
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            refuse_link(Path(place) / name)


def remove_file(file: Path) -> None:
    """Removes a file or a link, if it is there."""
    file.unlink(missing_ok=True)


def replace_file(made: Path, file: Path) -> None:
    """Gives a file that was just written its name; one that had it before is gone."""
    made.replace(file)


def move(source: Path, target: Path) -> None:
    """Gives a file or folder another name."""
    source.rename(target)


def remove_scratch(folder: Path) -> None:
    """Removes a working folder that rmlab made, with all that is in it; a link in its place stays."""
    if not folder.is_symlink():
        shutil.rmtree(folder, ignore_errors=True)


def remove_listed(folder: Path, names: Sequence[str]) -> None:
    """Removes the named files below a folder in this order, then the folders that this left empty."""
    within = [name for name in names if not _leads_out(folder, name)]
    for name in within:
        if not (folder / name).is_dir() or (folder / name).is_symlink():
            remove_file(folder / name)
    above = {parent for name in within for parent in Path(name).parents}
    for below in sorted(above, key=lambda path: len(path.parts), reverse=True):
        with suppress(OSError):
            (folder / below).rmdir()


def _leads_out(folder: Path, name: str) -> bool:
    """True if the name is none of a file below the folder, or a folder on the way to the file is a link."""
    if any(part in ("", ".", "..") for part in name.split("/")):
        return True
    return folder.is_symlink() or any((folder / p).is_symlink() for p in Path(name).parents if p.name)


def unlisted(folder: Path, names: Iterable[str]) -> list[str]:
    """The files and links below a folder that are not among the names."""
    known, found = set(names), []
    for place, folders, files in os.walk(folder):
        for name in [*files, *(f for f in folders if (Path(place) / f).is_symlink())]:
            relative = (Path(place) / name).relative_to(folder).as_posix()
            if relative not in known:
                found.append(relative)
    return sorted(found)


def some(names: Sequence[str]) -> str:
    """The first names, and the number of the others, for a message."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def set_aside(entry: Path) -> None:
    """Gives whatever is in the way of a file of rmlab a name that is free: NAME~, NAME~~ and so on."""
    if os.path.lexists(entry):
        move(entry, _free(entry))


def _free(place: Path) -> Path:
    while os.path.lexists(place):
        place = place.with_name(f"{place.name}~")
    return place


def open_to_others(folder: Path) -> None:
    """Lets those read the files of a folder who may read files that are made there now; nobody else is at it.

    Some libraries write files that only their user can read, whatever the umask says.
    """
    probe = folder / ".mode"
    probe.touch()
    usual = stat.S_IMODE(probe.stat().st_mode)
    remove_file(probe)
    for file in folder.rglob("*"):
        if file.is_file() and not file.is_symlink():
            mode = stat.S_IMODE(file.stat().st_mode)
            if mode | usual != mode:
                with suppress(OSError):  # some file systems have no modes
                    file.chmod(mode | usual)


def put_in_place(made: Path, target: Path, old: Path) -> None:
    """Renames a folder that is whole to the target; what was there is then called `old`.

    What was there comes back where the new folder cannot take its place.
    """
    refuse_link(target)
    with suppress(FileNotFoundError):
        move(target, old)
    try:
        move(made, target)
    except BaseException:
        if old.exists() and not target.exists():
            move(old, target)
        raise


def retire(old: Path, names: Sequence[str], successor: Path) -> None:
    """Removes the named files of a folder that was replaced; all others go on in its successor."""
    if old.is_symlink():
        return
    remove_listed(old, names)
    if old.is_dir():
        _carry_over(old, successor)


def _carry_over(old: Path, into: Path) -> None:
    """Moves all that is in a folder to the same places in another one, under free names."""
    for entry in sorted(old.iterdir()):
        target = into / entry.name
        both = all(place.is_dir() and not place.is_symlink() for place in (entry, target))
        if both:
            _carry_over(entry, target)
        else:
            move(entry, _free(target))
    old.rmdir()
