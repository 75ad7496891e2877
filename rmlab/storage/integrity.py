"""Files are compared with their digests, which are computed once for each state of a file.

A digest is known to this process, and to the next ones where the files are large, until the size, a time or
the number of the file changes. `rmlab verify` reads every byte all the same; besides, every page of a Parquet
file has a checksum that each reading verifies.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rmlab.errors import RmlabError
from rmlab.paths import cache_folder
from rmlab.removal import remove_file
from rmlab.storage.digest import digest, file_digest, folder_digest, read_sealed, write_sealed
from rmlab.storage.files import is_withheld
from rmlab.storage.manifest import FileRecord
from rmlab.terminal import note

LARGE = 2**26  # bytes; the digests of files that have as many together are kept for the next process
_LONG = 2**32  # bytes; reading as many takes several seconds
FOLDER_SEAL = "sealed.json"

_known: dict[str, tuple[list[int], str]] = {}  # path of a file -> its stamp and digest


def digest_once(file: Path) -> str:
    """The digest of a file, which this process computes once for each state of it."""
    stamp, place = _stamp(file), str(file.absolute())
    if place not in _known or _known[place][0] != stamp:
        if stamp[0] >= _LONG:
            note(f"checking {file} ({stamp[0] / 1e9:.1f} GB), once until it changes")
        _known[place] = stamp, file_digest(file)
    return _known[place][1]


def _stamp(file: Path) -> list[int]:
    seen = file.stat()
    return [seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino]


def file_digest_of(file: Path) -> str:
    place = file.resolve()
    with _remembered(place, [place]):
        return digest_once(place)


def folder_digest_of(folder: Path) -> str:
    place = folder.resolve()
    with _remembered(place, [p for p in place.rglob("*") if p.is_file()]):
        return folder_digest(place, digest_once)


def forget(place: Path) -> None:
    """The digests of a file or folder are computed again, even if nothing shows that it changed."""
    root = str(place.resolve())
    for name in [name for name in _known if name == root or name.startswith(root + os.sep)]:
        del _known[name]
    with suppress(OSError, RmlabError):
        remove_file(_record(place.resolve()))


@contextmanager
def _remembered(place: Path, files: Sequence[Path]) -> Iterator[None]:
    """Within, digests of these files are known that an earlier process computed; new ones are kept.

    place: the file or folder that they are of. A cache that cannot be read or written is done without.
    """
    if not _are_large(files):
        yield
        return
    with suppress(OSError, RmlabError, TypeError, ValueError):
        kept = read_sealed(_record(place)) or {}
        _known.update({name: (stamp, found) for name, stamp, found in kept if name not in _known})
    before = _known_of(files)
    yield
    if _known_of(files) != before:
        _keep(place, files)


def _are_large(files: Iterable[Path]) -> bool:
    return sum(file.stat().st_size for file in files if file.is_file()) >= LARGE


def _known_of(files: Iterable[Path]) -> list[tuple[str, list[int], str]]:
    names = (str(file.absolute()) for file in files)
    return [(name, *_known[name]) for name in names if name in _known]


def _keep(place: Path, files: Iterable[Path]) -> None:
    with suppress(OSError, RmlabError):
        write_sealed(_record(place), _known_of(files))


def _record(place: Path) -> Path:
    return cache_folder("digests") / f"{digest({'files of': str(place)})[:24]}.json"


def kept_digests() -> list[Path]:
    """The files in the cache that hold digests of large files."""
    names = (p for p in cache_folder("digests").glob("*.json") if re.fullmatch(r"[0-9a-f]{24}\.json", p.name))
    return sorted(p for p in names if not p.is_symlink() and read_sealed(p) is not None)


@dataclass(frozen=True)
class Damage:
    name: str
    why: str


def first_damage(folder: Path, records: Sequence[FileRecord]) -> Damage | None:
    """The first file that is not what was written, by the digests that are known of its present state.

    OSError for one that the system withholds, of which nothing is known.
    """
    if found := next(_wrong_sizes(folder, records), None):
        return found
    with _remembered(folder.absolute(), [folder / record.name for record in records]):
        return next(_wrong_digests(folder, records, digest_once), None)


def all_damage(folder: Path, records: Sequence[FileRecord], tick: Callable[[int], None]) -> Iterator[Damage]:
    """Every file is read; tick is told how many bytes."""
    for record in records:
        damage = next(_wrong_sizes(folder, [record]), None)
        yield from [damage] if damage else _wrong_digests(folder, [record], file_digest)
        tick(record.bytes)


def mark_whole(folder: Path, records: Sequence[FileRecord]) -> None:
    """Takes the digests of the records for known: the files were just written or read."""
    files = [folder / record.name for record in records]
    for file, record in zip(files, records, strict=True):
        _known[str(file.absolute())] = _stamp(file), record.sha256
    if _are_large(files):
        _keep(folder.absolute(), files)


def _wrong_sizes(folder: Path, records: Sequence[FileRecord]) -> Iterator[Damage]:
    for record in records:
        file = folder / record.name
        size = file.stat().st_size if file.is_file() else None
        if size is None:
            yield Damage(record.name, "it is missing")
        elif size != record.bytes:
            yield Damage(record.name, f"it has {size:,} bytes instead of {record.bytes:,}")


def _wrong_digests(
    folder: Path, records: Sequence[FileRecord], hashed: Callable[[Path], str]
) -> Iterator[Damage]:
    for record in records:
        try:
            if hashed(folder / record.name) != record.sha256:
                yield Damage(record.name, "its content is not what was written")
        except OSError as error:
            if is_withheld(error):
                raise
            yield Damage(record.name, error.strerror or type(error).__name__)


def seal_folder(folder: Path) -> None:
    """Records the digest of every file in a folder, once all of them are on the disk."""
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != FOLDER_SEAL]
    for path in files:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    write_sealed(folder / FOLDER_SEAL, {p.relative_to(folder).as_posix(): file_digest(p) for p in files})


def is_as_sealed(folder: Path) -> bool:
    """Tells whether the folder was sealed, and all files of that time are as they were."""
    sealed = read_sealed(folder / FOLDER_SEAL)
    if not sealed or not isinstance(sealed, dict):
        return False
    try:
        with _remembered(folder.absolute(), [folder / name for name in sealed]):
            return all(digest_once(folder / name) == known for name, known in sealed.items())
    except OSError:
        return False
