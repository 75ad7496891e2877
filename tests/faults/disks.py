"""Disks that are full, read-only or closed: one line, nothing torn, and once they are mended it goes on."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from faults.base import Base
from faults.kills import went_on
from faults.process import Ended, run
from faults.record import Outcome, Skipped, with_end
from faults.same import leftovers, remove, torn
from faults.stages import Stage

GROUP = "disks"
QUICK = ("sample", "fit-rm", "release")
_SIZE = 64  # megabytes
_BLOCK = 4096
_BALLAST = "ballast"
# What root may do anyhow is taken from it, so that permission is refused to it as it is to others.
_AS_OTHERS = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search,-sys_admin")
_Fault = Callable[[Base, Stage, Path, random.Random], list[Ended]]


def why_not(scratch: Path) -> Skipped | None:
    """Small disks can be mounted by root alone, and not in every container."""
    if os.geteuid() != 0:
        return Skipped(GROUP, "mounting a small disk needs root")
    if shutil.which("setpriv") is None:
        return Skipped(GROUP, "there is no setpriv")
    try:
        with _disk(scratch / "try"):
            return None
    except subprocess.CalledProcessError:
        return Skipped(GROUP, "a tmpfs cannot be mounted here")


def chain(base: Base, stage: Stage, seed: int, is_quick: bool) -> list[Outcome]:
    """Each fault in its turn, on one disk; then the command goes on."""
    rng = random.Random(f"{seed} {GROUP} {stage.name}")
    faults: dict[str, _Fault] = {"full": _full, "read-only": _read_only, "no permission": _refused}
    names = ["full", rng.choice(["read-only", "no permission"])] if is_quick else list(faults)
    place = base.scratch / f"{GROUP}-{stage.name}-{seed}"
    found = []
    with _disk(place):
        folder = base.copy(stage, "work", place)
        for name in names:
            for ended in faults[name](base, stage, folder, rng):
                wrong = _wrong(stage, folder, ended)
                found.append(Outcome(GROUP, stage.name, name, "; ".join(wrong)))
        ended = run(folder, stage.command, last=stage.last)
        end = [] if went_on(stage, ended) else [f"did not go on: {ended.tail()}"]
        end += base.differences(folder, stage) + [f"left behind: {name}" for name in leftovers(folder)]
    return with_end(found, end)


def _wrong(stage: Stage, folder: Path, ended: Ended) -> list[str]:
    found = torn(folder, stage.makes) + [f"process {p} was still alive" for p in ended.orphans]
    if ended.code not in (1, 3) or len(ended.lines) != 1 or "unexpected" in ended.lines[0]:
        found.append(f"{len(ended.lines)} lines, {ended.tail()}")
    return found + (["it shows a traceback"] if "Traceback" in ended.err else [])


def _full(base: Base, stage: Stage, folder: Path, rng: random.Random) -> list[Ended]:
    """Room for a part of what the stage makes; less, if it came to its end all the same."""
    needed = _blocks(base.folder, stage)
    for share in (rng.uniform(0.2, 0.7), 0.1, 0.0):
        ballast = folder.parent / _BALLAST
        disk = os.statvfs(folder)
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, disk.f_bavail - int(share * needed)) * _BLOCK)
        ended = run(folder, stage.command, last=stage.last)
        ballast.unlink()
        if ended.code:
            return [ended]
        remove(folder, stage.makes)
    return []


def _blocks(folder: Path, stage: Stage) -> int:
    files = [p for pattern in stage.makes for top in folder.glob(pattern) for p in [top, *top.rglob("*")]]
    return sum(-(-p.stat().st_size // _BLOCK) for p in files)


def _read_only(base: Base, stage: Stage, folder: Path, rng: random.Random) -> list[Ended]:
    _mount("-o", "remount,ro", str(folder.parent))
    try:
        return [run(folder, stage.command, last=stage.last)]
    finally:
        _mount("-o", "remount,rw", str(folder.parent))


def _refused(base: Base, stage: Stage, folder: Path, rng: random.Random) -> list[Ended]:
    """No folder below may be written to, nor any file."""
    places = [folder, *(p for p in folder.rglob("*") if not p.is_symlink())]
    modes = {place: place.stat().st_mode for place in places}
    for place, mode in modes.items():
        place.chmod(mode & ~0o222)
    try:
        return [run(folder, stage.command, last=stage.last, prefix=_AS_OTHERS)]
    finally:
        for place, mode in modes.items():
            place.chmod(mode)


@contextmanager
def _disk(place: Path) -> Iterator[None]:
    """A disk of its own in memory."""
    place.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={_SIZE}m", "faults", str(place))
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True, capture_output=True)
        place.rmdir()


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)
