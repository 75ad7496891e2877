"""A model made once and kept in the cache: whole or not there, made by one process, checked before use."""

from __future__ import annotations

import fcntl
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from rmlab.storage.digest import file_digest, read_sealed, write_sealed

_RECORD, _WEIGHTS = "checksum.json", "model.safetensors"


def stored(target: Path, make: Callable[[Path], None]) -> Path:
    """The folder `target`, which `make` writes where it is not there or a file of it is damaged."""
    if not is_whole(target):
        with _alone(target):
            if not is_whole(target):  # another process may have made it meanwhile
                _make(target, make)
    return target


def is_whole(target: Path) -> bool:
    """All files are those that were stored; weights are hashed again only if their size or time changed."""
    record = read_sealed(target / _RECORD)
    if record is None:
        return False
    try:
        left_out = {_WEIGHTS} if _stamp(target) == record["stamp"] else set()
        known = {name: digest for name, digest in record["files"].items() if name not in left_out}
        return _digests(target, left_out) == known
    except OSError:
        return False


def _stamp(target: Path) -> list[int]:
    found = (target / _WEIGHTS).stat()
    return [found.st_size, found.st_mtime_ns]


def _digests(target: Path, left_out: Collection[str] = ()) -> dict[str, str]:
    files = [p for p in sorted(target.iterdir()) if p.is_file() and p.name not in (_RECORD, *left_out)]
    return {p.name: file_digest(p) for p in files}


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
        write_sealed(temporary / _RECORD, {"files": _digests(temporary), "stamp": _stamp(temporary)})
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
