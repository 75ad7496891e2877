"""The files of a folder that are rmlab's own, as the records in it say."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from rmlab.removal import unlisted
from rmlab.storage.digest import read_sealed
from rmlab.storage.files import parse_json, read_plain_text
from rmlab.storage.integrity import FOLDER_SEAL
from rmlab.storage.manifest import COPY, MANIFEST, WORK
from rmlab.storage.set_record import CARD, LICENSE, RECORD

LOCK = ".lock"  # held by the process that writes an artifact
BEGUN = "begun.json"  # in the working folder: that rmlab began the artifact, and what its inputs held
LOST_WORK = f"it has no {WORK}, as after a transfer that skips hidden files: copy that too"
MADE_BY = "made by `rmlab export`"  # in the card of an exported folder
# What a record has besides the names of files; a file of this name without it is somebody else's.
_RECORDS = {
    FOLDER_SEAL: {"value", "sha256"},
    RECORD: {"files", "policies"},
    COPY: {"files", "stage", "fingerprint"},
    MANIFEST: {"files", "stage", "fingerprint"},
}
_PART = re.compile(r"part-\d{5,9}\.parquet")
_EXPORTED = re.compile(r"(train|test)-\d{5}-of-\d{5}\.parquet")


def own_files(folder: Path) -> list[str]:
    """The names of rmlab's files in an artifact, embedding set, export or sealed folder; all exist.

    The records that name the others come last: removed in this order, what is left can still be told.
    """
    found = {name: record for name in _RECORDS if (record := _record(folder / name))}
    named = [name for record in found.values() for name in _names(record.get("files") or record.get("value"))]
    if RECORD in found:
        named += [CARD, LICENSE]
    if MANIFEST in found or COPY in found:
        named += [LOCK, *parts_in(folder)]
    if tables := exported_files(folder):
        named += [*tables, CARD]
    return [n for n in dict.fromkeys(named) if n not in found and _is_plain(folder / n)] + list(found)


def exported_files(folder: Path) -> list[str]:
    """The tables of a folder that an export wrote; none if its card is another one."""
    with suppress(OSError, ValueError):
        if MADE_BY in read_plain_text(folder / CARD):
            found = sorted((folder / "data").glob("*"))
            return [f"data/{p.name}" for p in found if _EXPORTED.fullmatch(p.name)]
    return []


def parts_in(folder: Path) -> list[str]:
    """The files that have names of parts, whatever is in them."""
    return sorted(p.name for p in folder.glob("part-*.parquet") if is_part(p.name) and _is_plain(p))


def is_part(name: str) -> bool:
    return bool(_PART.fullmatch(name))


def begun_with(folder: Path) -> dict[str, str] | None:
    """Returns what the inputs of an unfinished artifact held when it was begun."""
    return read_sealed(folder / WORK / BEGUN)


def was_begun(folder: Path) -> bool:
    """True if rmlab began to write an artifact in this folder, and has not finished it."""
    return _is_plain(folder / WORK / BEGUN) and not (folder / WORK).is_symlink()


def has_lost_work(folder: Path) -> bool:
    """True for a folder of nothing but parts: what was begun there cannot be gone on with."""
    return not was_begun(folder) and foreign(folder) == parts_in(folder) != []


def foreign(folder: Path) -> list[str]:
    """All files of a folder but the lock and half of the record that it was begun."""
    return [name for name in unlisted(folder, [LOCK]) if not name.startswith(f"{WORK}/.{BEGUN}.")]


def _is_plain(place: Path) -> bool:
    return place.is_file() and not place.is_symlink()


def _record(file: Path) -> dict[str, Any] | None:
    """A record as it stands, also of an earlier format or a little damaged; None if it is none of rmlab's."""
    if not _is_plain(file):
        return None
    with suppress(OSError, ValueError):
        found = parse_json(read_plain_text(file))
        if isinstance(found, dict) and set(found) >= _RECORDS[file.name]:
            return found
    return None


def _names(files: Any) -> Iterable[str]:
    """A record has its files by name, or as a list of records that have names."""
    if isinstance(files, list):
        files = [file.get("name") for file in files if isinstance(file, dict)]
    elif not isinstance(files, dict):
        return []
    return [name for name in files if isinstance(name, str) and _is_below(name)]


def _is_below(name: str) -> bool:
    return "\0" not in name and all(part not in ("", ".", "..") for part in name.split("/"))
