"""A model made once and kept in the cache: whole or not there, made by one process, checked before use."""

from __future__ import annotations

import fcntl
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rmlab.artifacts.files import write_json
from rmlab.artifacts.fingerprint import file_digest

_RECORD, _WEIGHTS = "checksum.json", "model.safetensors"


def stored(target: Path, make: Callable[[Path], None]) -> Path:
    """The folder `target`, which `make` writes where it is not there or its weights are damaged."""
    if not is_whole(target):
        with _alone(target):
            if not is_whole(target):  # another process may have made it meanwhile
                _make(target, make)
    return target


def is_whole(target: Path) -> bool:
    """The weights are there and are those that were stored; hashed again only if the file changed."""
    weights = target / _WEIGHTS
    try:
        expected = json.loads((target / _RECORD).read_text(encoding="utf-8"))
        found = weights.stat()
        if [found.st_size, found.st_mtime_ns] == expected["stamp"]:
            return True
        return found.st_size == expected["stamp"][0] and file_digest(weights) == expected["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    with target.with_name(f".{target.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print(f"waits for another process that makes {target.name}", file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(target: Path, make: Callable[[Path], None]) -> None:
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        make(temporary)
        weights = temporary / _WEIGHTS
        stamp = [weights.stat().st_size, weights.stat().st_mtime_ns]
        write_json(temporary / _RECORD, {"sha256": file_digest(weights), "stamp": stamp})
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
