"""Ctrl-C and SIGTERM, which raise KeyboardInterrupt.

Libraries may swallow the exception, so each signal is also recorded, and `check` raises it again.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from types import FrameType
from typing import NoReturn

from rmlab import terminal

_received: list[int] = []
_RESEND_AFTER = 0.01  # seconds


def listen() -> None:
    """Installs the handlers. A command that a shell started in the background goes on ignoring Ctrl-C.

    A terminal that is closed (SIGHUP) ends nothing: the work goes on, and the log tells of it.
    """
    _received.clear()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _interrupt)
    sys.unraisablehook = _resend


def check() -> None:
    """Raises KeyboardInterrupt if a signal was received whose exception was swallowed."""
    if _received:
        raise KeyboardInterrupt


def ignore() -> None:
    """Ignores further signals, when the work is over and its exit code is known."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def leave(code: int) -> NoReturn:
    """Exits with this code. After a signal, Python would otherwise end `python -m rmlab` by that signal."""
    if not _received:
        sys.exit(code)
    atexit._run_exitfuncs()
    terminal.flush()
    os._exit(code)


def _interrupt(number: int, frame: FrameType | None) -> None:
    _received.append(number)
    raise KeyboardInterrupt


def _resend(unraisable: sys.UnraisableHookArgs) -> None:
    """Sends the signal again, silently, if Python ignored its exception, as it does within a destructor."""
    if not (_received and isinstance(unraisable.exc_value, KeyboardInterrupt)):
        return sys.__unraisablehook__(unraisable)
    again = threading.Timer(_RESEND_AFTER, os.kill, (os.getpid(), _received[-1]))
    again.daemon = True
    again.start()
