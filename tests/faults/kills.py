"""SIGKILL at chosen and at random moments; the same command then goes on to the same results."""

from __future__ import annotations

import random
import shutil
import signal
from pathlib import Path

from faults.base import Base
from faults.process import Command, Ended, Fault, run
from faults.record import PHASES, Outcome, with_end
from faults.same import leftovers, remove, torn
from faults.stages import Stage

GROUP = "kills"
QUICK = (
    "sft", "sample-lm", "annotate", "embed-workers", "fit-rm",
    "eval-rm", "sweep", "import", "release", "export",
)  # fmt: skip
_INSIDE = dict(zip(("startup", "mid", "rename", "manifest", "after"), PHASES, strict=True))
_TRIES = 3
_WORKERS = {"embed-workers": "rename", "sweep": "startup"}  # what is counted in worker processes


def chain(base: Base, stage: Stage, seed: int, is_quick: bool) -> list[Outcome]:
    """Kills one after the other, each of the command that goes on after the last; then it may finish."""
    rng = random.Random(f"{seed} {GROUP} {stage.name}")
    folder = base.copy(stage, f"{GROUP}-{stage.name}-{seed}")
    found: list[Outcome | None] = []
    if stage.name in _WORKERS:
        found.append(_kill_worker(stage, folder, rng))
    found += [_kill(base, stage, folder, phase, rng) for phase in _phases(base, stage, rng, is_quick)]
    struck = [outcome for outcome in found if outcome is not None]
    ended = run(folder, stage.command, last=stage.last)
    wrong = [] if went_on(stage, ended) else [f"did not go on: {ended.tail()}"]
    wrong += base.differences(folder, stage) + [f"left behind: {name}" for name in leftovers(folder)]
    done = with_end(struck, wrong)
    if not any(outcome.wrong for outcome in done):
        shutil.rmtree(folder)
    return done


def _phases(base: Base, stage: Stage, rng: random.Random, is_quick: bool) -> list[str]:
    """In the order in which a command that goes on still reaches them."""
    moments = base.known[stage.name].moments
    possible = [phase for phase in _INSIDE if moments[phase]]
    if is_quick:
        return sorted(rng.sample(possible, 2), key=possible.index)
    return ["outside", *possible, "outside"]


def _kill(base: Base, stage: Stage, folder: Path, phase: str, rng: random.Random) -> Outcome | None:
    """None where the command had ended before it could be killed."""
    most = base.known[stage.name].moments[phase] if phase != "outside" else 1
    n = rng.randint(1, rng.randint(1, most))  # early rather than late: some of the work is done already
    for _ in range(_TRIES):
        if phase == "outside":
            ended, place = _from_outside(base, stage, folder, rng)
        else:
            ended, place = (
                Command(folder, stage.command, Fault(phase, n), last=stage.last).end(),
                _INSIDE[phase],
            )
        if ended.code == -signal.SIGKILL:
            return Outcome(GROUP, stage.name, place, "; ".join(_wrong(stage, folder, ended)))
        if not went_on(stage, ended):
            return Outcome(GROUP, stage.name, place, f"did not go on: {ended.tail()}")
        remove(folder, stage.makes)  # it ended first, since much was done already: once more from its start
        n = max(1, n // 2)
    return None


def _from_outside(base: Base, stage: Stage, folder: Path, rng: random.Random) -> tuple[Ended, str]:
    command = Command(folder, stage.command, last=stage.last)
    command.strike_later(rng.uniform(0.02, 1.0) * base.known[stage.name].seconds, signal.SIGKILL)
    ended = command.end()
    return ended, _place(stage, folder)


def _place(stage: Stage, folder: Path) -> str:
    """The phase that what is on the disk tells of."""
    made = [path for pattern in stage.makes for path in folder.glob(pattern)]
    if any(path.name == ".lock" for top in made for path in top.rglob(".lock")):
        return PHASES[2] if leftovers(folder) else PHASES[1]
    return PHASES[2] if leftovers(folder) else PHASES[0]


def went_on(stage: Stage, ended: Ended) -> bool:
    """What is made only once, such as an export, says that it is there."""
    return ended.code == 0 or (stage.is_once and "is there already" in ended.tail())


def _kill_worker(stage: Stage, folder: Path, rng: random.Random) -> Outcome:
    """The command that lost a worker says so in a line."""
    fault = Fault(_WORKERS[stage.name], rng.randint(1, 3), role="worker")
    ended = Command(folder, stage.command, fault, last=stage.last).end()
    wrong = _wrong(stage, folder, ended)
    if not ended.struck:
        wrong.append("no worker was killed")
    elif ended.code != 1 or len(ended.lines) != 1 or "was killed" not in ended.lines[0]:
        wrong.append(f"a worker was killed, and it says: {ended.tail()}")
    return Outcome(GROUP, stage.name, f"{PHASES[1]}, in a worker", "; ".join(wrong))


def _wrong(stage: Stage, folder: Path, ended: Ended) -> list[str]:
    return torn(folder, stage.makes) + [f"process {p} was still alive" for p in ended.orphans]
