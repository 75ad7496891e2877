"""Ctrl-C and SIGTERM. Code of a library in which one is raised may swallow it, so each is remembered too."""

from __future__ import annotations

import signal
from types import FrameType

_came: list[int] = []


def listen() -> None:
    """From now on. A command that was started to ignore Ctrl-C, in the background, goes on ignoring it."""
    _came.clear()
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _interrupt)


def check() -> None:
    """Ends the command where one was lost."""
    if _came:
        raise KeyboardInterrupt


def ignore() -> None:
    """The work is over and its exit code known: while Python shuts down there is nothing to interrupt."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _interrupt(number: int, frame: FrameType | None) -> None:
    _came.append(number)
    raise KeyboardInterrupt
