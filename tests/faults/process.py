"""The command line in a process of its own, struck from within or without, and who of its kin still lives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

INSIDE = Path(__file__).parent / "inside"
SOURCE = Path(__file__).parents[2]
LIMIT = 300.0  # seconds that a command may take
_MARK = "RMLAB_FAULT_RUN"
_GONE = 15.0  # seconds within which the workers of a process that was killed must have ended


@dataclass(frozen=True)
class Fault:
    """Of tests/faults/inside: PHASE:N:ACTION in the command itself or in its workers."""

    phase: str
    n: int
    action: str = "KILL"
    role: str = "main"


@dataclass
class Ended:
    """struck: whether the fault did. orphans: processes that were alive long after it."""

    code: int
    out: str
    err: str
    seconds: float
    struck: bool = False
    orphans: list[int] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        """What it says of its failure."""
        return [line for line in self.err.splitlines() if line.startswith("rmlab: ")]

    def tail(self) -> str:
        said = (self.lines or self.err.strip().splitlines() or ["nothing"])[-1]
        return f"exit code {self.code}: {said[:300]}"


class Command:
    """rmlab with some arguments, in a folder; every process of it is found again by a mark."""

    def __init__(
        self,
        folder: Path,
        arguments: Sequence[str],
        fault: Fault | None = None,
        *,
        last: str = "manifest.json",
        prefix: Sequence[str] = (),
        **environment: str,
    ) -> None:
        self.folder, self.mark = folder, uuid.uuid4().hex
        self.told = _cache(folder).parent / f"{self.mark}.told"  # never on a disk that is at fault
        told = {"RMLAB_FAULT_TOLD": str(self.told), "RMLAB_FAULT_ROOT": str(folder)}
        if fault:
            told["RMLAB_FAULT"] = f"{fault.phase}:{fault.n}:{fault.action}"
            told["RMLAB_FAULT_ROLE"] = fault.role
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "rmlab", *arguments],
            cwd=folder,
            env={**_environment(folder), **told, "RMLAB_FAULT_LAST": last, _MARK: self.mark, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )

    def has_struck(self) -> bool:
        return self.told.is_file()

    def wait_for_strike(self, seconds: float = 60.0) -> bool:
        until = time.monotonic() + seconds
        while not self.has_struck() and self.process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        return self.has_struck()

    def go_on(self) -> None:
        """Ends the waiting of a fault whose action is WAIT."""
        Path(f"{self.told}.go").touch()

    def strike_later(self, seconds: float, number: int) -> bool:
        """A signal to the process alone, from without; False if it had ended by then."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.send_signal(number)
            return True
        return False

    def end(self) -> Ended:
        """Waits for the end, then for that of its workers; kills what is left."""
        try:
            out, err = self.process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            self._kill(self._kin())
            out, err = self.process.communicate()
            err += f"\nrmlab: it hung: no end after {LIMIT:.0f} s"
        seconds = time.monotonic() - self.started
        orphans = self._orphans()
        ended = Ended(self.process.returncode, out, err, seconds, self.has_struck(), orphans)
        for file in (self.told, Path(f"{self.told}.go")):
            file.unlink(missing_ok=True)
        return ended

    def _orphans(self) -> list[int]:
        until = time.monotonic() + _GONE
        while (left := self._kin()) and time.monotonic() < until:
            time.sleep(0.1)
        self._kill(left)
        return left

    def _kin(self) -> list[int]:
        wanted = f"{_MARK}={self.mark}".encode()
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                is_ours = wanted in (place / "environ").read_bytes().split(b"\0")
                if is_ours and (place / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
                    found.append(int(place.name))
            except (OSError, IndexError):
                continue
        return found

    @staticmethod
    def _kill(processes: Sequence[int]) -> None:
        for process in processes:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue


def run(
    folder: Path,
    arguments: Sequence[str],
    *,
    last: str = "manifest.json",
    prefix: Sequence[str] = (),
    **environment: str,
) -> Ended:
    """Without a fault from within."""
    return Command(folder, arguments, None, last=last, prefix=prefix, **environment).end()


def _environment(folder: Path) -> dict[str, str]:
    """One thread each, so that a busy machine changes nothing; a cache beside the folders."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("RMLAB_")}
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join([str(INSIDE), str(SOURCE)]),
        "RMLAB_CACHE": str(_cache(folder)),
        "HF_HUB_OFFLINE": "1",
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    }


def _cache(folder: Path) -> Path:
    return next((p / "cache" for p in folder.parents if (p / "cache").is_dir()), folder.parent / "cache")
