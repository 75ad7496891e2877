"""Digests of large inputs, computed again only when a size or a time changed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from rmlab.artifacts.files import write_json
from rmlab.artifacts.fingerprint import digest, file_digest, folder_digest
from rmlab.cache import cache_folder

_LARGE = 2**26  # bytes; smaller files are hashed at once
_LONG = 2**32  # takes several seconds


def cached_file_digest(file: Path) -> str:
    seen = file.stat()
    if seen.st_size < _LARGE:
        return file_digest(file)
    return _cached(file, [seen.st_size, seen.st_mtime_ns], lambda: _announced(file, seen.st_size))


def digest_of(file: Path) -> str:
    """The same, looked up once a process for a file as it is: large sets are named by every arm."""
    seen = file.stat()
    return _digest_of(file.resolve(), seen.st_size, seen.st_mtime_ns)


@lru_cache(maxsize=256)
def _digest_of(file: Path, size: int, changed: int) -> str:
    return cached_file_digest(file)


def _announced(file: Path, size: int) -> str:
    if size >= _LONG:
        print(f"checking {file} ({size / 1e9:.1f} GB), once until it changes", file=sys.stderr, flush=True)
    return file_digest(file)


def cached_folder_digest(folder: Path) -> str:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    stamp = [[p.relative_to(folder).as_posix(), p.stat().st_size, p.stat().st_mtime_ns] for p in files]
    return _cached(folder, stamp, lambda: folder_digest(folder))


def _cached(place: Path, stamp: list, compute: Callable[[], str]) -> str:
    record = cache_folder("digests") / f"{digest({'folder': str(place.resolve())})[:24]}.json"
    if record.is_file():
        known = json.loads(record.read_text(encoding="utf-8"))
        if known["stamp"] == stamp:
            return known["digest"]
    found = compute()
    write_json(record, {"folder": str(place.resolve()), "stamp": stamp, "digest": found})
    return found
