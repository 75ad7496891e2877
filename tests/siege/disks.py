"""Small disks for the cases that need a full, a read-only or a foreign file system."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from siege.base import Cannot, Ground


@contextmanager
def memory_disk(ground: Ground, megabytes: int = 64, options: str = "") -> Iterator[Path]:
    """A file system in memory, of a few megabytes, mounted below the case's folder."""
    place = ground.folder / "disk"
    place.mkdir()
    wanted = f"size={megabytes}m" + (f",{options}" if options else "")
    _mount("-t", "tmpfs", "-o", wanted, "siege", str(place))
    try:
        yield place
    finally:
        _unmount(place)


@contextmanager
def loop_disk(
    ground: Ground, kind: str, megabytes: int = 64, options: str = "", driver: str = ""
) -> Iterator[Path]:
    """Mounts a file system of a kind (vfat, exfat, ext4) in a file below the case's folder.

    driver: what mounts it, where that has another name than the kind.
    """
    if shutil.which(f"mkfs.{kind}") is None:
        raise Cannot(f"there is no mkfs.{kind}")
    image, place = ground.folder / "disk.image", ground.folder / "disk"
    with image.open("wb") as file:
        file.truncate(megabytes << 20)
    subprocess.run([f"mkfs.{kind}", str(image)], check=True, capture_output=True)
    place.mkdir()
    _mount("-t", driver or kind, "-o", f"loop{',' if options else ''}{options}", str(image), str(place))
    try:
        yield place
    finally:
        _unmount(place)


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], check=False, capture_output=True, text=True)
    if done.returncode:
        raise Cannot(f"a disk cannot be mounted here: {done.stderr.strip().splitlines()[-1]}")


def _unmount(place: Path) -> None:
    subprocess.run(["umount", "--lazy", str(place)], check=True, capture_output=True)
