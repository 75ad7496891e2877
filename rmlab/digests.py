"""Digests of inputs: of small ones computed once a process, of large ones again only when they changed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from rmlab.artifacts.fingerprint import digest, file_digest, folder_digest
from rmlab.artifacts.sealed import read_sealed, write_sealed
from rmlab.cache import cache_folder
from rmlab.errors import RmlabError

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
