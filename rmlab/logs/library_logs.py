"""Messages and warnings of libraries: into the run's log, not to the terminal."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from rmlab.logs import log
from rmlab.logs.records import shortened

DEBUG = "RMLAB_DEBUG"  # shows it on the terminal, too
_MOST = 2000  # records of a process
_LONGEST = 4000  # letters of a text
_NOISE = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)


def record_chatter() -> Callable[[], None]:
    """Errors of libraries are shown as well. Returns what undoes all of it.

    Libraries have handlers of their own, which no root handler sees; so it is done where all records pass.
    """
    chatter = _Chatter(bool(os.environ.get(DEBUG)))
    own = logging.getLogger("rmlab")
    level = own.level
    own.setLevel(logging.INFO)
    filters = warnings.catch_warnings()
    filters.__enter__()
    if not chatter.is_shown:
        warnings.simplefilter("default")
        for kind in _NOISE:
            warnings.simplefilter("ignore", kind)
    warnings.showwarning = chatter.warn
    logging.Logger.callHandlers = chatter.handle()  # type: ignore[method-assign, assignment]

    def undo() -> None:
        own.setLevel(level)
        logging.Logger.callHandlers = chatter.handlers  # type: ignore[method-assign, assignment]
        filters.__exit__(None, None, None)

    return undo


class _Chatter:
    def __init__(self, is_shown: bool) -> None:
        self.is_shown, self.n = is_shown, 0
        self.handlers, self.show = logging.Logger.callHandlers, warnings.showwarning

    def handle(self) -> Callable[[logging.Logger, logging.LogRecord], None]:
        def call(logger: logging.Logger, record: logging.LogRecord) -> None:
            is_own = record.name.partition(".")[0] == "rmlab"
            if record.levelno >= (logging.INFO if is_own else logging.WARNING):
                with suppress(Exception):  # a message that cannot be made
                    self.log(record)
            if self.is_shown or record.levelno > logging.WARNING:
                self.handlers(logger, record)

        return call

    def log(self, record: logging.LogRecord) -> None:
        level = "error" if record.levelno > logging.WARNING else "warning"
        if record.levelno < logging.WARNING:
            level = "info"
        self.add(level, record.name, record.getMessage(), f"{record.pathname}:{record.lineno}")

    def warn(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        *rest: Any,
        **named: Any,
    ) -> None:
        with suppress(Exception):
            self.add("warning", category.__name__, str(message), f"{filename}:{lineno}")
        if self.is_shown:
            self.show(message, category, filename, lineno, *rest, **named)

    def add(self, level: str, source: str, text: str, place: str) -> None:
        self.n += 1
        if self.n <= _MOST:
            log.event("library", level, source=source, text=shortened(text, _LONGEST), place=place)
        elif self.n == _MOST + 1:
            log.event("library", "warning", text="libraries said more, which is left out")
