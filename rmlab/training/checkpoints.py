"""Checkpoints that are whole or not at all: sealed when they are on the disk, checked when they are read.

What Trainer keeps of the optimiser and the random numbers are files of torch.save. They are written and
read by this program alone, in the artifact's scratch folder, are loaded as weights only, and go when the
stage is done: nothing of them is in a finished artifact.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from rmlab.artifacts.files import write_json

SEAL = "sealed.json"
KEPT = 2  # a torn newest one leaves the one before


def seal(folder: Path) -> None:
    """Records the size of every file, once they are on the disk."""
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != SEAL]
    for path in files:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    write_json(folder / SEAL, {p.relative_to(folder).as_posix(): p.stat().st_size for p in files})


def last_whole_checkpoint(work: Path) -> Path | None:
    """The newest checkpoint that is as it was sealed; those that are not are removed."""
    found = sorted(work.glob("checkpoint-*"), key=lambda p: int(p.name.rpartition("-")[2]))
    whole = [folder for folder in found if _is_whole(folder)]
    for folder in set(found) - set(whole):
        shutil.rmtree(folder, ignore_errors=True)  # each process of a training does this
    return whole[-1] if whole else None


def _is_whole(folder: Path) -> bool:
    try:
        sizes = json.loads((folder / SEAL).read_text())
        if any((folder / name).stat().st_size != size for name, size in sizes.items()):
            return False
        json.loads((folder / "trainer_state.json").read_text())
        return all(_has_all_its_tensors(file) for file in folder.glob("*.safetensors"))
    except (OSError, ValueError, AttributeError):
        return False


def _has_all_its_tensors(file: Path) -> bool:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as opened:
            return bool(opened.keys())
    except SafetensorError:
        return False
