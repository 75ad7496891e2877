"""SIGINT and SIGTERM: exit code 130, one line, and the same command goes on to the same results."""

from __future__ import annotations

import random
import shutil
import signal
from pathlib import Path

from faults.base import Base
from faults.kills import went_on
from faults.process import Command, Ended, Fault, run
from faults.record import Outcome, with_end
from faults.same import leftovers, torn
from faults.stages import Stage

GROUP = "signals"
STAGES = ("sft", "sample-lm", "embed-workers", "fit-rm", "crossval", "report", "sweep", "reproduce", "run")
QUICK = ("sft", "sample-lm", "sweep")
_PROMISED = 130
_MOMENTS = ("startup", "mid", "rename", "manifest")
_KINDS = ("INT", "TERM")


def chain(base: Base, stage: Stage, seed: int, is_quick: bool) -> list[Outcome]:
    """Signals one after the other, each to the command that goes on after the last."""
    rng = random.Random(f"{seed} {GROUP} {stage.name}")
    folder = base.copy(stage, f"{GROUP}-{stage.name}-{seed}")
    phases = rng.sample(_MOMENTS[1:3], 1) if is_quick else _MOMENTS
    kinds = [rng.choice(_KINDS) for _ in phases] if is_quick else [_KINDS[k % 2] for k in range(len(phases))]
    found = [_inside(base, stage, folder, *how, rng) for how in zip(phases, kinds, strict=True)]
    found.append(_outside(base, stage, folder, rng))
    ended = run(folder, stage.command, last=stage.last)
    wrong = [] if went_on(stage, ended) else [f"did not go on: {ended.tail()}"]
    wrong += base.differences(folder, stage) + [f"left behind: {name}" for name in leftovers(folder)]
    done = with_end([outcome for outcome in found if outcome is not None], wrong)
    if not any(outcome.wrong for outcome in done):
        shutil.rmtree(folder)
    return done


def _inside(
    base: Base, stage: Stage, folder: Path, phase: str, kind: str, rng: random.Random
) -> Outcome | None:
    """At a moment of the command's own; None where it came to its end before."""
    most = base.known[stage.name].moments[phase]
    if not most:
        return None
    n = rng.randint(1, most if phase != "startup" else max(1, most // 3))
    ended = Command(folder, stage.command, Fault(phase, n, kind), last=stage.last).end()
    if not ended.struck:
        return None
    return Outcome(GROUP, stage.name, f"SIG{kind}", "; ".join(_wrong(stage, folder, ended)))


def _outside(base: Base, stage: Stage, folder: Path, rng: random.Random) -> Outcome | None:
    """Once it has begun to write, after a random part of the time that is left then."""
    kind = rng.choice(_KINDS)
    command = Command(folder, stage.command, Fault("begin", 1, "WAIT"), last=stage.last)
    command.wait_for_strike()
    command.go_on()
    delay = rng.uniform(0.0, 0.5) * base.known[stage.name].seconds
    struck = command.strike_later(delay, getattr(signal, f"SIG{kind}"))
    ended = command.end()
    if not struck:
        return None
    return Outcome(GROUP, stage.name, f"SIG{kind}", "; ".join(_wrong(stage, folder, ended)))


def _wrong(stage: Stage, folder: Path, ended: Ended) -> list[str]:
    found = torn(folder, stage.makes) + [f"process {p} was still alive" for p in ended.orphans]
    if ended.code == 0:  # the signal came when all was done
        return found
    if ended.code != _PROMISED or len(ended.lines) != 1 or "interrupted" not in ended.lines[0]:
        found.append(f"{len(ended.lines)} lines, {ended.tail()}")
    return found + [f"it says {word!r}" for word in ("Traceback", "Exception ignored") if word in ended.err]
