"""Results of runs without faults: what others begin with, and what they are compared with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from faults.process import Ended, run
from faults.same import differences, remove
from faults.stages import NAMES, STAGES, Stage, write_inputs

Say = Callable[[str], None]


@dataclass(frozen=True)
class Known:
    """Of a stage's run without faults: how long it took, and how often each phase was reached."""

    seconds: float
    moments: dict[str, int]


@dataclass
class Base:
    """folder: all results. known: by the names of stages."""

    folder: Path
    scratch: Path
    known: dict[str, Known] = field(default_factory=dict)

    def copy(self, stage: Stage, name: str, place: Path | None = None) -> Path:
        """A folder of its own with all that there is but what the stage makes."""
        folder = (place or self.scratch) / name
        shutil.copytree(self.folder, folder, symlinks=True)
        remove(folder, stage.makes)
        return folder

    def differences(self, folder: Path, stage: Stage) -> list[str]:
        return differences(self.folder, folder, stage.makes)


def make_base(scratch: Path, wanted: Iterable[str], lanes: int, say: Say) -> Base:
    """Runs the stages that are wanted and those that they need, several side by side."""
    folder = scratch / "base"
    folder.mkdir(parents=True)
    (scratch / "cache").mkdir()
    write_inputs(folder)
    base = Base(folder, scratch)
    todo = [stage for stage in STAGES if stage.name in _with_needed(wanted)]
    running: dict[Future[Known], Stage] = {}
    with ThreadPoolExecutor(lanes) as pool:
        while todo or running:
            for stage in [s for s in todo if all(name in base.known for name in s.after)][:lanes]:
                if len(running) < lanes:
                    todo.remove(stage)
                    running[pool.submit(_make, base, stage)] = stage
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                stage = running.pop(future)
                base.known[stage.name] = future.result()
                say(f"without faults: {stage.name} in {base.known[stage.name].seconds:.1f} s")
    return base


def _with_needed(wanted: Iterable[str]) -> set[str]:
    found: set[str] = set()

    def add(name: str) -> None:
        found.add(name)
        for needed in NAMES[name].after:
            add(needed)

    for name in wanted:
        add(name)
    return found


def _make(base: Base, stage: Stage) -> Known:
    folder = base.copy(stage, f"{stage.name}-without") if stage.is_apart else base.folder
    counts = base.scratch / f"{stage.name}.counts"
    ended = run(folder, stage.command, last=stage.last, RMLAB_FAULT_COUNTS=str(counts))
    if ended.code:
        raise RuntimeError(f"{stage.name} failed without a fault: {ended.tail()}")
    if stage.is_apart:
        _check(base, folder, stage, ended)
    return Known(ended.seconds, json.loads(counts.read_text()))


def _check(base: Base, folder: Path, stage: Stage, ended: Ended) -> None:
    if wrong := base.differences(folder, stage) + [f"left alive: {p}" for p in ended.orphans]:
        raise RuntimeError(f"{stage.name} without a fault: {'; '.join(wrong)}")
    shutil.rmtree(folder)
