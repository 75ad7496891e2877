"""python -m siege: all attacks, or some; the last line says how many were survived."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import pkgutil
import shutil
import signal
import sys
import tempfile
import time
import traceback
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import siege
from siege.base import CASES, Cannot, Case, Ground, Shared

LANES = max(2, min(8, len(os.sched_getaffinity(0))))
_GONE = 10.0  # seconds within which the processes of a case must have ended
Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """wrong: what was not as it must be. cannot: why it was not tried."""

    case: Case
    seconds: float
    wrong: str = ""
    cannot: str = ""


def main() -> int:
    for module in pkgutil.iter_modules(siege.__path__):
        if module.name != "__main__":
            importlib.import_module(f"siege.{module.name}")
    options = _options()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background, by commands too
    scratch = (options.folder or Path(tempfile.mkdtemp(prefix="siege-"))).resolve()
    scratch.mkdir(parents=True, exist_ok=True)
    if any(scratch.iterdir()):
        print(f"{scratch} is not empty; give --folder another place", file=sys.stderr)
        return 2
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - started:6.0f} s  {text}", flush=True)

    return _conclude(_run(_chosen(options), Shared(scratch, options.quick), say), scratch)


def _options() -> argparse.Namespace:
    groups = list(dict.fromkeys(case.group for case in CASES))
    parser = argparse.ArgumentParser(prog="siege", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer attacks, in a few minutes")
    parser.add_argument("--only", metavar="GROUP[,..]", help=f"of {', '.join(groups)}")
    parser.add_argument("--case", default="", help="only cases whose name has this text")
    parser.add_argument("--folder", type=Path, help="where to work; what was not survived stays there")
    options = parser.parse_args()
    options.only = options.only.split(",") if options.only else groups
    if unknown := sorted(set(options.only) - set(groups)):
        parser.error(f"there is no group {', '.join(unknown)}; there are {', '.join(groups)}")
    return options


def _chosen(options: argparse.Namespace) -> list[Case]:
    return [
        case
        for case in CASES
        if case.group in options.only and options.case in case.name and (case.is_quick or not options.quick)
    ]


def _run(cases: list[Case], shared: Shared, say: Say) -> list[Outcome]:
    outcomes = []
    with ThreadPoolExecutor(LANES) as pool:
        running = [pool.submit(_try, case, n, shared) for n, case in enumerate(cases)]
        for n, future in enumerate(as_completed(running), 1):
            outcome = future.result()
            outcomes.append(outcome)
            how = f"NOT survived: {outcome.wrong}" if outcome.wrong else "survived"
            how = f"skipped: {outcome.cannot}" if outcome.cannot else how
            name = f"{outcome.case.group}: {outcome.case.name}"
            say(f"[{n}/{len(cases)}] {name}: {how} ({outcome.seconds:.1f} s)")
    return outcomes


def _try(case: Case, n: int, shared: Shared) -> Outcome:
    """Kept in a folder of its own only if it was not survived."""
    folder = shared.scratch / f"{case.group}-{n}"
    folder.mkdir(parents=True)
    ground = Ground(folder, shared, uuid.uuid4().hex)
    started = time.monotonic()
    wrong = cannot = ""
    try:
        case.attack(ground)
    except Cannot as reason:
        cannot = str(reason)
    except AssertionError as error:
        wrong = str(error) or _where(error)
    except Exception:  # a fault of one case must not hide what the others find
        wrong = traceback.format_exc()
    if left := _end(ground.mark):
        wrong = wrong or f"left alive: {', '.join(left)}"
    if not wrong:
        shutil.rmtree(folder, ignore_errors=True)
    return Outcome(case, time.monotonic() - started, wrong, cannot)


def _where(error: AssertionError) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}: {frame.line}"


def _end(mark: str) -> list[str]:
    """Kills the processes of a case that do not end by themselves, and returns their names."""
    until = time.monotonic() + _GONE
    while (alive := _alive(mark)) and time.monotonic() < until:
        time.sleep(0.1)
    for process in alive:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    return list(alive.values())


def _alive(mark: str) -> dict[int, str]:
    wanted = f"SIEGE_CASE={mark}".encode()
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (place / "environ").read_bytes().split(b"\0"):
                found[int(place.name)] = (place / "comm").read_text().strip()
    return found


def _conclude(outcomes: list[Outcome], scratch: Path) -> int:
    tried = [o for o in outcomes if not o.cannot]
    survived = sum(not o.wrong for o in tried)
    for outcome in sorted((o for o in outcomes if o.cannot), key=lambda o: o.case.group):
        print(f"skipped: {outcome.case.group}: {outcome.case.name}: {outcome.cannot}")
    for outcome in (o for o in tried if o.wrong):
        print(f"NOT survived: {outcome.case.group}: {outcome.case.name}: {outcome.wrong}")
    is_fine = bool(tried) and survived == len(tried)
    if is_fine:
        shutil.rmtree(scratch, ignore_errors=True)
    else:
        print(f"what was left is in {scratch}")
    print(f"siege survived: {survived}/{len(tried)}", flush=True)
    return 0 if is_fine else 1


if __name__ == "__main__":
    sys.exit(main())
