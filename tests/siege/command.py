"""A command in a process group of its own: what it printed, how it ended, and how much memory it took."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parents[2]
_SIGNS_OF_A_FAULT = ("Traceback (most recent call last)", "rmlab: unexpected ", "Exception ignored")


@dataclass
class Ended:
    """out, err: what it printed (at a terminal all is in out). code: below 0 if a signal ended it.

    peak: bytes of memory that it, or the largest of the processes that it waited for, took at most.
    """

    code: int
    out: str
    err: str
    seconds: float
    peak: int

    @property
    def text(self) -> str:
        return self.out + self.err

    @property
    def lines(self) -> list[str]:
        """What it says of its failure."""
        return [line.rstrip() for line in self.text.splitlines() if line.startswith("rmlab: ")]

    def fine(self, *words: str) -> Ended:
        """Asserts that it succeeded, and printed each of the words."""
        self._sound()
        assert self.code == 0, self.tail()
        self._said(words, self.text)
        return self

    def refused(self, code: int, *words: str) -> Ended:
        """Asserts that it ended with this exit code and a reason that has each of the words.

        The reason is a line for each thing that is wrong, none of them twice.
        """
        self._sound()
        assert self.code == code, f"exit code {code} was due; {self.tail()}"
        assert 1 <= len(set(self.lines)) == len(self.lines), f"lines of a reason: {self.lines[:3]}"
        self._said(words, "\n".join(self.lines))
        return self

    def plain(self) -> Ended:
        """Asserts that nothing it printed could steer a terminal or turn the direction of its text."""
        odd = {c for c in self.text if not c.isprintable() and c not in "\n\t"}
        assert not odd, f"it prints {sorted(map(ascii, odd))}"
        return self

    def tail(self) -> str:
        said = (self.lines or self.err.strip().splitlines() or self.out.strip().splitlines() or ["nothing"])[
            -1
        ]
        return f"it ended with {self.code} and said {said[:300]!r}"

    def _sound(self) -> None:
        for sign in _SIGNS_OF_A_FAULT:
            assert sign not in self.text, f"it shows {sign!r}; {self.tail()}"

    def _said(self, words: Sequence[str], where: str) -> None:
        for word in words:
            assert word in where, f"it does not say {word!r}: {where[-300:]!r}"


class Running:
    """A process that has been started; `end` waits for it.

    It ignores no signal, even where this process does, as below `nohup`.
    """

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        *,
        stdin: str | None,
        terminal: bool,
    ) -> None:
        self.started = time.monotonic()
        self.printed = {"out": b"", "err": b""}
        self.is_hung_up = False
        self.master, slave = pty.openpty() if terminal else (None, None)
        pipe = slave if terminal else subprocess.PIPE
        self.process = subprocess.Popen(
            ["env", "--default-signal", *(["setsid", "--ctty"] if terminal else []), *command],
            cwd=folder,
            env=dict(environment),
            stdin=slave if terminal else subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=pipe,
            stderr=pipe,
            start_new_session=not terminal,  # setsid makes one, to which the terminal belongs
        )
        if slave is not None:
            os.close(slave)
        if stdin is not None and not terminal:
            self._feed(stdin.encode())
        sources = {"out": self.master} if terminal else self._pipes()
        self.readers = [
            threading.Thread(target=self._read, args=pair, daemon=True) for pair in sources.items()
        ]
        for reader in self.readers:
            reader.start()

    def signal(self, number: int) -> None:
        """To the process alone."""
        self.process.send_signal(number)

    def wait_until_it_says(self, word: str, seconds: float = 120.0) -> None:
        until = time.monotonic() + seconds
        while word.encode() not in self.printed["out"] + self.printed["err"]:
            assert time.monotonic() < until, f"it did not say {word!r} within {seconds:.0f} s"
            assert any(reader.is_alive() for reader in self.readers), f"it ended and never said {word!r}"
            time.sleep(0.02)

    def wait_for_file(self, pattern: str, folder: Path, seconds: float = 120.0) -> Path:
        """The first file below the folder that the pattern fits, once there is one."""
        until = time.monotonic() + seconds
        while not (found := next(folder.glob(pattern), None)):
            assert time.monotonic() < until, f"no {pattern} within {seconds:.0f} s"
            time.sleep(0.01)
        return found

    def wait_for_exit(self, seconds: float) -> bool:
        """Waits so long at most; whether it has ended by then."""
        until = time.monotonic() + seconds
        while any(reader.is_alive() for reader in self.readers) and time.monotonic() < until:
            time.sleep(0.02)
        return time.monotonic() < until

    def hang_up(self) -> None:
        """Closes the terminal that it was started at."""
        assert self.master is not None, "it has no terminal"
        self.is_hung_up = True
        for reader in self.readers:
            reader.join()
        os.close(self.master)
        self.master = None

    def end(self, seconds: float = 300.0) -> Ended:
        """Waits for the end; a process that takes longer is killed, and that is a fault."""
        late = threading.Event()
        timer = threading.Timer(seconds, self._kill, [late])
        timer.start()
        _, status, usage = os.wait4(self.process.pid, 0)
        timer.cancel()
        self.process.returncode = os.waitstatus_to_exitcode(status)
        for reader in self.readers:
            reader.join(30.0)
        if self.master is not None:
            self.hang_up()
        assert not late.is_set(), f"no end within {seconds:.0f} s; {self._so_far()}"
        out, err = (self.printed[name].decode(errors="replace") for name in ("out", "err"))
        took = time.monotonic() - self.started
        return Ended(self.process.returncode, out, err, took, usage.ru_maxrss * 1024)

    def _so_far(self) -> str:
        return f"it said {self.printed['out'][-200:] + self.printed['err'][-200:]!r}"

    def _pipes(self) -> dict[str, int]:
        assert self.process.stdout is not None and self.process.stderr is not None
        return {"out": self.process.stdout.fileno(), "err": self.process.stderr.fileno()}

    def _feed(self, text: bytes) -> None:
        def write() -> None:
            assert self.process.stdin is not None
            with contextlib.suppress(BrokenPipeError), self.process.stdin as stdin:
                stdin.write(text)

        threading.Thread(target=write, daemon=True).start()

    def _read(self, name: str, source: int) -> None:
        while not self.is_hung_up:
            try:
                if not select.select([source], [], [], 0.1)[0]:
                    continue
                if not (more := os.read(source, 1 << 16)):
                    return
            except OSError:  # the other end of a terminal is closed, or this one
                return
            self.printed[name] += more

    def _kill(self, late: threading.Event) -> None:
        late.set()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
