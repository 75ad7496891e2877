"""Sends the messages and warnings of libraries to the run's log, not to the terminal."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from rmlab.logs import log
from rmlab.logs.records import shortened
from rmlab.terminal import note

DEBUG = "RMLAB_DEBUG"  # if set, they are shown on the terminal, too
_MOST = 2000  # records from one process
_LONGEST = 4000  # characters of one message
_IGNORED = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)


def record_package_logs() -> Callable[[], None]:
    """Starts the redirection and returns the function that ends it. Errors are also shown on the terminal.

    Libraries have handlers of their own, whose records may never reach a root handler. So the one method that
    all records pass through, Logger.callHandlers, is replaced.
    """
    recorder = _Recorder(bool(os.environ.get(DEBUG)))
    own = logging.getLogger("rmlab")
    level = own.level
    own.setLevel(logging.INFO)
    filters = warnings.catch_warnings()
    filters.__enter__()
    if not recorder.is_shown:
        warnings.simplefilter("default")
        for kind in _IGNORED:
            warnings.simplefilter("ignore", kind)
    warnings.showwarning = recorder.warn
    logging.Logger.callHandlers = recorder.handle()  # type: ignore[method-assign, assignment]

    def undo() -> None:
        own.setLevel(level)
        logging.Logger.callHandlers = recorder.handlers  # type: ignore[method-assign, assignment]
        filters.__exit__(None, None, None)

    return undo


class _Recorder:
    def __init__(self, is_shown: bool) -> None:
        self.is_shown, self.n = is_shown, 0
        self.handlers = logging.Logger.callHandlers

    def handle(self) -> Callable[[logging.Logger, logging.LogRecord], None]:
        def call(logger: logging.Logger, record: logging.LogRecord) -> None:
            is_own = record.name.partition(".")[0] == "rmlab"
            if record.levelno >= (logging.INFO if is_own else logging.WARNING):
                with suppress(Exception):  # a message whose format does not fit its arguments
                    self.log(record)

        return call

    def log(self, record: logging.LogRecord) -> None:
        level = "error" if record.levelno > logging.WARNING else "warning"
        if record.levelno < logging.WARNING:
            level = "info"
        text = record.getMessage()
        self.add(level, record.name, text, f"{record.pathname}:{record.lineno}")
        if self.is_shown or level == "error":
            note(f"{record.name}: {level}: {shortened(text, _LONGEST)}")

    def warn(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        *_: Any,
        **__: Any,
    ) -> None:
        with suppress(Exception):
            place = f"{filename}:{lineno}"
            self.add("warning", category.__name__, str(message), place)
            if self.is_shown:
                note(f"{place}: {category.__name__}: {shortened(str(message), _LONGEST)}")

    def add(self, level: str, source: str, text: str, place: str) -> None:
        self.n += 1
        if self.n <= _MOST:
            log.event("library", level, source=source, text=shortened(text, _LONGEST), place=place)
        elif self.n == _MOST + 1:
            log.event("library", "warning", text="further messages of libraries are left out")
