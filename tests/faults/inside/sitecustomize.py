"""Strikes a process from within, at a moment that its environment names.

Python imports a module of this name when it starts, if its folder is on PYTHONPATH; rmlab does not know it.

RMLAB_FAULT        PHASE:N:ACTION, such as rename:3:KILL, at the third rename; or INT, TERM, WAIT
RMLAB_FAULT_ROLE   main (the command itself) or worker (the processes that it starts)
RMLAB_FAULT_ROOT   the folder whose files count
RMLAB_FAULT_LAST   name of what a command puts in its place last, such as manifest.json
RMLAB_FAULT_TOLD   file that is told when the fault has struck; while PATH.go is missing, WAIT waits
RMLAB_FAULT_COUNTS file for how often each phase was reached, written at the end
RMLAB_FAULT_CLOCK  seed of a clock that jumps by a year, back and forth

Phases: startup (an import before anything is written), begin (the first write), mid (so many milliseconds
after it), rename (a temporary file is written), manifest (all is there but that), after (that too is there).
"""

# It comes before all else, and imports as little as it can:
# ruff: noqa: PTH100, PTH110, PTH119, PTH123, PTH206

import atexit
import datetime
import itertools
import json
import os
import random
import signal
import sys
import threading
import time

_YEAR = 365 * 86_400
_WAIT = 60.0  # seconds at most
_WRITES = os.O_WRONLY | os.O_RDWR
_PHASES = ("startup", "begin", "mid", "rename", "manifest", "after")


class Moments:
    """Counts the moments of each phase, and strikes at the one that is asked for."""

    def __init__(self, root: str, last: str, fault: str, told: str) -> None:
        self.root, self.last, self.told = root + os.sep, last, told
        self.phase, n, self.action = fault.split(":") if fault else ("", "0", "")
        self.n = int(n)
        self.counters = {phase: itertools.count(1) for phase in _PHASES}
        self.reached = dict.fromkeys(_PHASES, 0)
        self.begun = 0.0
        self.is_after = False

    def audit(self, event: str, args: tuple) -> None:
        """Python calls this before it imports, opens, renames ..."""
        if self.is_after:
            self.is_after = False
            self.reach("after")
        if event == "import":
            if not self.begun and self.is_armed():
                self.reach("startup")
        elif event == "os.rename":
            if self.is_ours(args[1]):
                self.begin()
                is_last = os.path.basename(os.fspath(args[1])) == self.last
                self.reach("manifest" if is_last else "rename")
                self.is_after = is_last
        elif event == "os.mkdir":
            if self.is_ours(args[0]):
                self.begin()
        elif event == "open" and isinstance(args[2], int) and args[2] & _WRITES and self.is_ours(args[0]):
            self.begin()

    def is_armed(self) -> bool:
        """Whether a signal would be handled already."""
        return self.action not in ("INT", "TERM") or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL

    def is_ours(self, path: object) -> bool:
        if not isinstance(path, str | os.PathLike):
            return False
        whole = os.path.abspath(os.fspath(path))
        return whole.startswith(self.root) and "logs" not in whole.removeprefix(self.root).split(os.sep)

    def begin(self) -> None:
        if not self.begun:
            self.begun = time.monotonic()
            self.reach("begin")
            if self.phase == "mid":
                threading.Thread(target=self.strike_later, daemon=True).start()

    def strike_later(self) -> None:
        time.sleep(self.n / 1000)
        if not self.reached["manifest"]:
            self.strike()

    def reach(self, phase: str) -> None:
        n = self.reached[phase] = next(self.counters[phase])
        if phase == "manifest" and n == 1:
            self.reached["mid"] = int(1000 * (time.monotonic() - self.begun))
        if phase == self.phase and n == self.n and phase != "mid":
            self.strike()

    def strike(self) -> None:
        with open(self.told, "a") as file:
            file.write(f"{self.phase}:{self.n}\n")
        if self.action == "WAIT":
            until = time.monotonic() + _WAIT
            while time.monotonic() < until and not os.path.exists(self.told + ".go"):
                time.sleep(0.02)
        else:
            os.kill(os.getpid(), getattr(signal, "SIG" + self.action))

    def write(self, path: str) -> None:
        with open(path, "w") as file:
            json.dump(self.reached, file)


def _role() -> str:
    is_command = sys.orig_argv[1:3] == ["-m", "rmlab"]
    return "main" if is_command else "worker"


def _jump(seed: int) -> None:
    """Every look at the clock is a year ahead or behind; what only ever goes forward stays as it is."""
    rng, now, now_ns = random.Random(seed), time.time, time.time_ns

    class Jumping(datetime.datetime):
        @classmethod
        def now(cls, tz=None):  # type: ignore[no-untyped-def]
            return datetime.datetime.fromtimestamp(time.time(), tz)

    def replace_in_rmlab(event: str, arguments: tuple) -> None:
        """Not for all: compiled modules know the class by its layout."""
        if event in ("os.mkdir", "os.rename"):
            for name, module in list(sys.modules.items()):
                if name.startswith("rmlab.") and getattr(module, "datetime", None) is datetime.datetime:
                    module.datetime = Jumping  # type: ignore[attr-defined]

    time.time = lambda: now() + rng.choice((-_YEAR, _YEAR))
    time.time_ns = lambda: now_ns() + rng.choice((-_YEAR, _YEAR)) * 10**9
    sys.addaudithook(replace_in_rmlab)


def _start() -> None:
    get = os.environ.get
    if seed := get("RMLAB_FAULT_CLOCK"):
        _jump(int(seed))
    fault, counts = get("RMLAB_FAULT", ""), get("RMLAB_FAULT_COUNTS")
    if not (fault or counts) or _role() != get("RMLAB_FAULT_ROLE", "main"):
        return
    root, last = get("RMLAB_FAULT_ROOT", ""), get("RMLAB_FAULT_LAST", "manifest.json")
    moments = Moments(root, last, fault, get("RMLAB_FAULT_TOLD", ""))
    if counts:
        atexit.register(moments.write, counts)
    sys.addaudithook(moments.audit)


_start()
