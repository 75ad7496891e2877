"""Two processes at once on the same artifact: one works, the other waits or says so, and nothing is torn."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from faults.base import Base
from faults.kills import went_on
from faults.process import Command, Ended, Fault, run
from faults.record import Outcome
from faults.same import leftovers, torn
from faults.stages import Stage

GROUP = "two at once"
STAGES = (
    "sft",
    "sample-lm",
    "embed-workers",
    "fit-rm",
    "report",
    "sweep",
    "import",
    "release",
    "merge",
    "export",
    "export-folder",
    "run",
)
QUICK = ("fit-rm", "sweep")
_OTHER = "another rmlab process"


def chain(base: Base, stage: Stage, seed: int, is_quick: bool) -> list[Outcome]:
    kinds = ["one halts"] if is_quick else ["one halts", "side by side"]
    return [_two(base, stage, seed, kind) for kind in kinds]


def _two(base: Base, stage: Stage, seed: int, kind: str) -> Outcome:
    rng = random.Random(f"{seed} {GROUP} {stage.name} {kind}")
    folder = base.copy(stage, f"two-{stage.name}-{seed}-{kind.replace(' ', '-')}")
    ended = (
        _halted(base, stage, folder, rng) if kind == "one halts" else _side_by_side(base, stage, folder, rng)
    )
    wrong = [w for e in ended for w in _wrong(e)] + torn(folder, stage.makes)
    if all(e.code for e in ended):
        wrong.append("neither did the work")
    again = run(folder, stage.command, last=stage.last)
    if not went_on(stage, again):
        wrong.append(f"did not go on: {again.tail()}")
    wrong += base.differences(folder, stage) + [f"left behind: {name}" for name in leftovers(folder)]
    if not wrong:
        shutil.rmtree(folder)
    return Outcome(GROUP, stage.name, kind, "; ".join(dict.fromkeys(wrong)))


def _halted(base: Base, stage: Stage, folder: Path, rng: random.Random) -> list[Ended]:
    """The first is held in its midst while the second comes."""
    most = base.known[stage.name].moments["rename"]
    fault = Fault("rename", rng.randint(1, most), "WAIT") if most else Fault("manifest", 1, "WAIT")
    first = Command(folder, stage.command, fault, last=stage.last)
    first.wait_for_strike()
    second = Command(folder, stage.command, last=stage.last)
    second.strike_later(4 * base.known[stage.name].seconds, 0)  # signal 0: only waits, as it may wait itself
    first.go_on()
    return [first.end(), second.end()]


def _side_by_side(base: Base, stage: Stage, folder: Path, rng: random.Random) -> list[Ended]:
    first = Command(folder, stage.command, last=stage.last)
    first.strike_later(rng.uniform(0.0, 0.5) * base.known[stage.name].seconds, 0)
    second = Command(folder, stage.command, last=stage.last)
    return [first.end(), second.end()]


def _wrong(ended: Ended) -> list[str]:
    found = [f"process {p} was still alive" for p in ended.orphans]
    if "Traceback" in ended.err:
        found.append("it shows a traceback")
    says_so = len(ended.lines) == 1 and (_OTHER in ended.lines[0] or "is there already" in ended.lines[0])
    return found if ended.code == 0 or says_so else [*found, ended.tail()]
