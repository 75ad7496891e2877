"""python -m faults: all faults, or some; the last line says how many were survived."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from faults import clocks, disks, kills, pairs, signals
from faults.base import Base, make_base
from faults.record import Outcome, Skipped, short_of, table
from faults.stages import NAMES, Stage

LANES = max(2, min(8, len(os.sched_getaffinity(0))))  # chains side by side
MOST, EACH = 60, 5  # kills that a whole run has at least, in all and of each phase
ALL = tuple(NAMES)
WRITERS = tuple(name for name in ALL if name != "embed-workers")
_Chain = Callable[[Base, Stage, int, bool], list[Outcome]]


@dataclass(frozen=True)
class Group:
    chain: _Chain
    stages: tuple[str, ...]
    quick: tuple[str, ...]


GROUPS = {
    "kills": Group(kills.chain, ALL, kills.QUICK),
    "signals": Group(signals.chain, signals.STAGES, signals.QUICK),
    "disks": Group(disks.chain, WRITERS, disks.QUICK),
    "pairs": Group(pairs.chain, pairs.STAGES, pairs.QUICK),
    "clocks": Group(clocks.chain, clocks.STAGES, clocks.QUICK),
}


def main() -> int:
    options = _options()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background, by commands too
    scratch = options.folder or Path(tempfile.mkdtemp(prefix="faults-"))
    scratch = scratch.resolve()
    if scratch.exists() and any(scratch.iterdir()):
        print(f"{scratch} is not empty; give --folder another place", file=sys.stderr)
        return 2
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - started:6.0f} s  {text}", flush=True)

    outcomes, skipped = _run(options, scratch, say)
    return _conclude(options, outcomes, skipped, scratch)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="faults", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer faults, in a few minutes")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--only", action="append", choices=GROUPS, help="a group of faults; may be repeated")
    parser.add_argument("--stage", action="append", choices=NAMES, help="a stage; may be repeated")
    parser.add_argument("--folder", type=Path, help="where to work; what was not survived stays there")
    return parser.parse_args()


def _run(
    options: argparse.Namespace, scratch: Path, say: Callable[[str], None]
) -> tuple[list[Outcome], list[Skipped]]:
    plan = _plan(options)
    base = make_base(scratch, {stage for _, stage, _ in plan}, LANES, say)
    cannot = disks.why_not(scratch) if any(name == "disks" for name, _, _ in plan) else None
    if cannot:
        plan = [part for part in plan if part[0] != "disks"]
    outcomes: list[Outcome] = []
    lock = threading.Lock()
    with ThreadPoolExecutor(LANES) as pool:
        running = {pool.submit(_chain, base, *part, options.quick): part for part in plan}
        for n, future in enumerate(as_completed(running), 1):
            name, stage, _ = running[future]
            found = future.result()
            with lock:
                outcomes += found
            wrong = [f"{o.phase}: {o.wrong}" for o in found if o.wrong]
            say(f"[{n}/{len(plan)}] {name}, {stage}: {len(found) - len(wrong)}/{len(found)} survived")
            for line in wrong:
                say(f"    {line}")
    return outcomes, [cannot] if cannot else []


def _plan(options: argparse.Namespace) -> list[tuple[str, str, int]]:
    """Group, stage and seed of each chain; the slow ones first."""
    plan = []
    for name, group in GROUPS.items():
        if not options.only or name in options.only:
            stages = group.quick if options.quick else group.stages
            plan += [(name, s, options.seed) for s in stages if not options.stage or s in options.stage]
    return plan


def _chain(base: Base, group: str, stage: str, seed: int, is_quick: bool) -> list[Outcome]:
    try:
        return GROUPS[group].chain(base, NAMES[stage], seed, is_quick)
    except Exception:  # a fault of this program must not hide what the others found
        return [Outcome(group, stage, "the harness itself", traceback.format_exc())]


def _conclude(
    options: argparse.Namespace, outcomes: list[Outcome], skipped: list[Skipped], scratch: Path
) -> int:
    for line in table(sorted(outcomes, key=lambda o: (list(GROUPS).index(_key(o.group)), o.phase))):
        print(line)
    for not_run in skipped:
        print(f"not run: {not_run.group}: {not_run.why}")
    is_whole = not (options.quick or options.only or options.stage)
    lacking = short_of(outcomes, kills.GROUP, MOST, EACH) if is_whole else []
    for line in lacking:
        print(f"too few: {line}")
    for outcome in [o for o in outcomes if o.wrong]:
        print(f"NOT survived: {outcome.group}, {outcome.stage}, {outcome.phase}: {outcome.wrong}")
    survived = sum(not o.wrong for o in outcomes)
    is_fine = bool(outcomes) and survived == len(outcomes) and not lacking
    if is_fine:
        shutil.rmtree(scratch, ignore_errors=True)
    else:
        print(f"what was left is in {scratch}")
    print(f"faults survived: {survived}/{len(outcomes)}", flush=True)
    return 0 if is_fine else 1


def _key(group: str) -> str:
    return "pairs" if group == pairs.GROUP else group


if __name__ == "__main__":
    sys.exit(main())
