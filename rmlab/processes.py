"""The one place where processes are started.

Python puts the folder that a program runs in, or that its script lies in, before all others that it imports
from: a file there that is named like a module of a library would run in place of that module. No process that
is started here, or by one that is, looks there unless PYTHONPATH names it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from socket import socket
from typing import IO, Any


def use_safe_paths() -> None:
    """Sets the environment of this process, so that what libraries start from it is safe, too."""
    os.environ.update(_safe_environment(os.environ))


def run(
    command: Sequence[str | os.PathLike[str]],
    *,
    environment: Mapping[str, str] | None = None,
    seconds: float | None = None,
    **how: Any,
) -> subprocess.CompletedProcess[Any]:
    """Runs a program to its end; raises a TimeoutError where that takes longer than it may.

    environment: added to this process's. how: of subprocess.run.
    """
    try:
        return subprocess.run(  # noqa: PLW1510, what it ends with is for whoever asked to judge
            [os.fspath(word) for word in command],
            env=_safe_environment(os.environ | dict(environment or {})),
            timeout=seconds,
            **how,
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"{command[0]} takes longer than {seconds} seconds") from None


class Child(subprocess.Popen[bytes]):
    """`python -m module`, started afresh, so that its environment holds from its first instant.

    It imports from where this process does, and from no other folder. It is in a session of its own: Ctrl-C
    at the terminal reaches this process alone, which ends the child. Nothing is written to its standard
    input, which stays open for as long as this process lives: see `end_with_parent`. What the child has
    started ends when it does.

    link: a socket that is its standard input, in place of a pipe. is_read: whether its standard output is a
    pipe to this process; else it goes nowhere. errors: where its standard error goes, in place of this
    process's. folder: its current folder, in place of this process's.
    """

    def __init__(
        self,
        module: str,
        *arguments: str,
        environment: Mapping[str, str],
        link: socket | None = None,
        is_read: bool = False,
        errors: IO[Any] | None = None,
        pass_fds: Sequence[int] = (),
        folder: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__(
            [sys.executable, "-m", module, *arguments],
            env=_safe_environment(os.environ | {"PYTHONPATH": _search_path()} | dict(environment)),
            stdin=link.fileno() if link else subprocess.PIPE,
            stdout=subprocess.PIPE if is_read else subprocess.DEVNULL,
            stderr=errors,
            pass_fds=pass_fds,
            cwd=folder,
            start_new_session=True,
        )
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        try:
            self._watcher.start()
        except RuntimeError:  # there may be no more threads
            self._end_group()
            self.wait()
            raise

    def stop(self) -> None:
        """Ends it, and all that it has started."""
        if self.poll() is None:
            self._end_group()
        self._watcher.join()

    def _watch(self) -> None:
        """Ends what it has started, which may hold the other end of the pipe at which this process waits."""
        self.wait()
        if self.stdin:
            self.stdin.close()
        self._end_group()

    def _end_group(self) -> None:
        # PermissionError is what macOS says of a group that has ended and was not waited for.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


def end_with_parent() -> None:
    """In a child: ends it, and the processes that it has started, as soon as its standard input ends.

    That happens when the parent closes it, and when the parent dies, however it does.
    """
    threading.Thread(target=_end_with_input, daemon=True).start()


def _end_with_input() -> None:
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)


def _search_path() -> str:
    """The folders that this process imports from; first that of this package, if it is none of them."""
    places, home = list(filter(None, sys.path)), str(Path(__file__).parents[1])
    return os.pathsep.join(places if home in places else [home, *places])


def _safe_environment(given: Mapping[str, str]) -> dict[str, str]:
    """Python then adds no folder of its own. Those that the user asks for, as by PYTHONPATH=., mean the same
    in whichever folder a process runs."""
    safe = {**given, "PYTHONSAFEPATH": "1"}
    if search := given.get("PYTHONPATH"):
        safe["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, search.split(os.pathsep)))
    return safe
