"""One hostile case: a folder of its own, a time limit, and nothing but one short line or a result allowed."""

from __future__ import annotations

import faulthandler
import json
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as seeded

from rmlab.errors import LONGEST, RmlabError

CASES = int(os.environ.get("RMLAB_FUZZ_CASES", "25"))  # of each reader
SECONDS = 20  # of processor time that a case may take, which does not depend on what else the machine does
WAITING = 300  # seconds in all: longer only where a case waits for what never comes
COUNTS: Counter[str] = Counter()
_TRAPS: list[str] = []  # what a case did that no reader may do
_REPORT = [2]
_WATCHED: list[Path] = []  # the folder of the case that is running
_RUNS = ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "pty.spawn", "socket.connect")
_CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "shutil.rmtree")


def fuzz(test: Callable[..., None]) -> Callable[..., None]:
    """The same cases every time, unless RMLAB_FUZZ_SEED asks for others."""
    seed = os.environ.get("RMLAB_FUZZ_SEED")
    how = settings(
        max_examples=CASES,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        derandomize=seed is None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
    )
    return how(test if seed is None else seeded(int(seed))(test))


class Cases:
    """Cases of one reader below a folder; what the readers may use (temporary files, cache) is beside it."""

    def __init__(self, reader: str, root: Path) -> None:
        self.reader, self.root = reader, root
        self.outside = root / "outside"
        self.outside.mkdir()
        (self.outside / "sentinel").write_text("untouched")

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A fresh folder; checks what the case did once it is over."""
        place = self.outside / "case"
        place.mkdir()
        COUNTS[self.reader] += 1
        _TRAPS.clear()
        _WATCHED.append(place)
        faulthandler.dump_traceback_later(WAITING, exit=True, file=_REPORT[-1])
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # ends the process, also where C code does not return
        try:
            yield place
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            faulthandler.cancel_dump_traceback_later()
            _WATCHED.clear()
            shutil.rmtree(place)
        assert [file.name for file in self.outside.iterdir()] == ["sentinel"]
        assert (self.outside / "sentinel").read_text() == "untouched"
        assert _TRAPS == []
        assert not Path("owned").exists()  # in the child's folder, which is this process's


def read(call: Callable[[], Any]) -> Any:
    """What the reader makes of it, or None where it says in one line why not."""
    try:
        return call()
    except RmlabError as error:
        check_line(str(error))
        return None


def check_line(message: str) -> None:
    assert message and message.isprintable(), ascii(message[:200])
    assert len(message) <= LONGEST, len(message)


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Python's own record of what is done: writes outside the case's folder, programs, connections."""
    if not _WATCHED:
        return
    if event in _RUNS:
        _TRAPS.append(f"{event} {arguments!r:.200}")
    elif event == "open" and isinstance(arguments[0], str | bytes):
        path, mode, flags = arguments
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) or (mode and set(mode) & set("wax+")):
            _inside(event, os.fsdecode(path))
    elif event in _CHANGES:
        for path in arguments[int(event == "os.symlink") : 2]:  # of a link its place, not where it leads
            if isinstance(path, str | bytes):
                _inside(event, os.fsdecode(path))


def _inside(event: str, path: str) -> None:
    allowed = (str(_WATCHED[0]), os.environ["RMLAB_CACHE"], os.environ["TMPDIR"], "/dev/null")
    if not os.path.realpath(path).startswith(allowed) and "__pycache__" not in path:
        _TRAPS.append(f"{event} {path}")


def watch(stderr: int) -> None:
    """stderr: where a case that hangs is shown, which nothing captures."""
    _REPORT.append(stderr)
    faulthandler.register(signal.SIGPROF, file=stderr, chain=True)
    sys.addaudithook(_watch)


def save_counts() -> None:
    """For `make fuzz`: how many cases each reader met in this process."""
    if folder := os.environ.get("RMLAB_FUZZ_COUNTS"):
        (Path(folder) / f"{os.getpid()}.json").write_text(json.dumps(COUNTS))
