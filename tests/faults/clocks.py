"""A clock that jumps by a year, back and forth, and files dated in the future and in the past."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from faults.base import Base
from faults.process import run
from faults.record import Outcome
from faults.same import leftovers, stamps
from faults.stages import Stage

GROUP = "clocks"
STAGES = ("sft", "sample-lm", "embed-workers", "sweep", "release", "run")
QUICK = ("sample-lm",)
_YEAR = 365 * 86_400


def chain(base: Base, stage: Stage, seed: int, is_quick: bool) -> list[Outcome]:
    folder = base.copy(stage, f"{GROUP}-{stage.name}-{seed}")
    found = [_jumping(base, stage, folder, seed)]
    for name, years in (("files of the future", 1), ("files of the past", -30)):
        if not is_quick or years > 0:
            found.append(_dated(base, stage, folder, name, years))
    if not any(outcome.wrong for outcome in found):
        shutil.rmtree(folder)
    return found


def _jumping(base: Base, stage: Stage, folder: Path, seed: int) -> Outcome:
    ended = run(folder, stage.command, last=stage.last, RMLAB_FAULT_CLOCK=str(seed + 1))
    wrong = [] if ended.code == 0 else [ended.tail()]
    wrong += base.differences(folder, stage) + [f"left behind: {name}" for name in leftovers(folder)]
    return Outcome(GROUP, stage.name, "the clock jumps", "; ".join(wrong))


def _dated(base: Base, stage: Stage, folder: Path, name: str, years: int) -> Outcome:
    """What is done stays as it is, whatever its date."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            os.utime(path, (time.time() + years * _YEAR,) * 2)
    before = stamps(folder, stage.makes)
    ended = run(folder, stage.command, last=stage.last)
    wrong = [] if ended.code == 0 else [ended.tail()]
    if stamps(folder, stage.makes) != before:
        wrong.append("something was made again")
    return Outcome(GROUP, stage.name, name, "; ".join(wrong + base.differences(folder, stage)))
