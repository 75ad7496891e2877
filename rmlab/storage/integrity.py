"""Whether files are those that were written: digests, computed once for each state of a file.

Small artifacts are hashed whenever they are opened. The files of large ones are hashed when their size or
time is not as it was when they were last known to be whole, and by `rmlab verify`; besides, every page of a
Parquet file has a checksum that each reading verifies.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rmlab.errors import RmlabError
from rmlab.paths import cache_folder
from rmlab.storage.digest import digest, file_digest, folder_digest, read_sealed, write_sealed
from rmlab.storage.files import write_json

LARGE = 2**28  # bytes of an artifact
SEEN = ".checked.json"  # sizes and times of the files of a large one, when they were last known to be whole


class Record(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def bytes(self) -> int: ...
    @property
    def sha256(self) -> str: ...


@dataclass(frozen=True)
class Damage:
    name: str
    why: str


def first_damage(folder: Path, records: Sequence[Record]) -> Damage | None:
    if found := next(_wrong_sizes(folder, records), None):
        return found
    if sum(record.bytes for record in records) < LARGE:
        return next(_wrong_digests(folder, records, digest_once), None)
    seen = _seen(folder)
    changed = [record for record in records if seen.get(record.name) != _part_stamp(folder / record.name)]
    found = next(_wrong_digests(folder, changed, digest_once), None)
    if changed and not found:
        mark_whole(folder, records)
    return found


def all_damage(folder: Path, records: Sequence[Record], tick: Callable[[int], None]) -> Iterator[Damage]:
    """Every file is read; tick is told how many bytes."""
    for record in records:
        damage = next(_wrong_sizes(folder, [record]), None)
        yield from [damage] if damage else _wrong_digests(folder, [record], file_digest)
        tick(record.bytes)


def mark_whole(folder: Path, records: Sequence[Record]) -> None:
    """They were just written or hashed. Where nothing can be written they are hashed again each time."""
    if sum(record.bytes for record in records) >= LARGE:
        with suppress(OSError):
            write_json(folder / SEEN, {record.name: _part_stamp(folder / record.name) for record in records})


def _wrong_sizes(folder: Path, records: Sequence[Record]) -> Iterator[Damage]:
    for record in records:
        file = folder / record.name
        size = file.stat().st_size if file.is_file() else None
        if size is None:
            yield Damage(record.name, "it is missing")
        elif size != record.bytes:
            yield Damage(record.name, f"it has {size:,} bytes instead of {record.bytes:,}")


def _wrong_digests(
    folder: Path, records: Sequence[Record], hashed: Callable[[Path], str]
) -> Iterator[Damage]:
    for record in records:
        try:
            if hashed(folder / record.name) != record.sha256:
                yield Damage(record.name, "its content is not what was written")
        except OSError as error:
            yield Damage(record.name, error.strerror or type(error).__name__)


_known_parts: dict[str, tuple[list[int], str]] = {}


def digest_once(file: Path) -> str:
    """Computed once a process for a file as it is."""
    stamp, place = _part_stamp(file), str(file.absolute())
    if place not in _known_parts or _known_parts[place][0] != stamp:
        _known_parts[place] = stamp, file_digest(file)
    return _known_parts[place][1]


def _part_stamp(file: Path) -> list[int]:
    seen = file.stat()
    return [seen.st_size, seen.st_mtime_ns, seen.st_ino]


def _seen(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / SEEN).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


_LARGE = 2**26  # bytes; the digest of as many is kept for the next process
_LONG = 2**32  # takes several seconds

Stamp = list[list[str | int]]  # of each file: name, size, times and number
_known: dict[str, tuple[Stamp, str]] = {}


def file_digest_of(file: Path) -> str:
    return _cached(file.resolve(), [file], lambda: _announced(file))


def folder_digest_of(folder: Path) -> str:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return _cached(folder.resolve(), files, lambda: folder_digest(folder))


def forget(place: Path) -> None:
    """Its digest is computed again, even if nothing shows that it changed."""
    _known.pop(str(place.resolve()), None)
    with suppress(OSError, RmlabError):
        _record(place.resolve()).unlink(missing_ok=True)


def _cached(place: Path, files: list[Path], compute: Callable[[], str]) -> str:
    stamp = [_stamp(place, file) for file in files]
    known = _known.get(str(place))
    if known is None or known[0] != stamp:
        is_large = sum(file.stat().st_size for file in files) >= _LARGE
        known = stamp, _kept(place, stamp, compute) if is_large else compute()
        _known[str(place)] = known
    return known[1]


def _stamp(place: Path, file: Path) -> list[str | int]:
    seen = file.stat()
    return [os.path.relpath(file, place), seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino]


def _kept(place: Path, stamp: Stamp, compute: Callable[[], str]) -> str:
    """Where the cache cannot be read or written it is computed each time."""
    with suppress(OSError, RmlabError):
        known = read_sealed(_record(place))
        if isinstance(known, dict) and known["stamp"] == stamp:
            return str(known["digest"])
    found = compute()
    with suppress(OSError, RmlabError):
        write_sealed(_record(place), {"place": str(place), "stamp": stamp, "digest": found})
    return found


def _record(place: Path) -> Path:
    return cache_folder("digests") / f"{digest({'folder': str(place)})[:24]}.json"


def _announced(file: Path) -> str:
    size = file.stat().st_size
    if size >= _LONG:
        print(f"checking {file} ({size / 1e9:.1f} GB), once until it changes", file=sys.stderr, flush=True)
    return file_digest(file)
