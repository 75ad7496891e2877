"""Ctrl-C and SIGTERM. What is raised may be swallowed where it is raised, so each is remembered too."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType
from typing import NoReturn

_came: list[int] = []
_SOON = 0.01  # seconds


def listen() -> None:
    """From now on. A command that was started to ignore Ctrl-C, in the background, goes on ignoring it."""
    _came.clear()
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _interrupt)
    sys.unraisablehook = _lost


def check() -> None:
    """Ends the command where one was lost."""
    if _came:
        raise KeyboardInterrupt


def ignore() -> None:
    """The work is over and its exit code known: there is nothing left to interrupt."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def leave(code: int) -> NoReturn:
    """Ends the process with this code, where Python would end `python -m rmlab` by a signal within exec()."""
    if not _came:
        sys.exit(code)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)


def _interrupt(number: int, frame: FrameType | None) -> None:
    _came.append(number)
    raise KeyboardInterrupt


def _lost(unraisable: sys.UnraisableHookArgs) -> None:
    """Where Python ignores what is raised, as in a destructor: not a word of it, it is sent again."""
    if not (_came and isinstance(unraisable.exc_value, KeyboardInterrupt)):
        return sys.__unraisablehook__(unraisable)
    again = threading.Timer(_SOON, os.kill, (os.getpid(), _came[-1]))
    again.daemon = True
    again.start()
