"""Checkpoints that are whole or not at all: sealed when they are on the disk, checked when they are read.

What Trainer keeps of the optimiser and the random numbers are files of torch.save. They are written and
read by this program alone, in the artifact's scratch folder, are loaded as weights only, and go when the
stage is done: nothing of them is in a finished artifact.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from rmlab.artifacts.fingerprint import file_digest
from rmlab.artifacts.sealed import read_sealed, write_sealed

SEAL = "sealed.json"
KEPT = 2  # a torn newest one leaves the one before


def seal(folder: Path) -> None:
    """Records the digest of every file, once they are on the disk."""
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != SEAL]
    for path in files:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    write_sealed(folder / SEAL, {p.relative_to(folder).as_posix(): file_digest(p) for p in files})


def last_whole_checkpoint(work: Path) -> Path | None:
    """The newest checkpoint that is as it was sealed; those that are not are removed."""
    found = sorted(work.glob("checkpoint-*"), key=lambda p: int(p.name.rpartition("-")[2]))
    whole = [folder for folder in found if _is_whole(folder)]
    for folder in set(found) - set(whole):
        shutil.rmtree(folder, ignore_errors=True)  # each process of a training does this
    return whole[-1] if whole else None


def _is_whole(folder: Path) -> bool:
    digests = read_sealed(folder / SEAL) or {}
    try:
        return bool(digests) and all(file_digest(folder / name) == known for name, known in digests.items())
    except OSError:
        return False
