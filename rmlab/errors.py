"""Every expected failure: one line for the user and an exit code."""

from __future__ import annotations

OK, FAILURE, USAGE, MISSING_INPUT, PARTIAL, INTERRUPTED = 0, 1, 2, 3, 4, 130
LONGEST = 1000  # characters of a message


def one_line(text: str) -> str:
    """The text without line breaks, and with escapes for what a terminal would obey or cannot show.

    A long one keeps its beginning, which says what is wrong, and its end, which says what to do.
    """
    if len(text) > 8 * LONGEST:  # whole megabytes of a hostile value need no escapes
        text = f"{text[: 4 * LONGEST]} … {text[-4 * LONGEST :]}"
    line = " ".join(text.split())
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    if len(shown) <= LONGEST:
        return shown
    tail = LONGEST // 3
    return f"{shown[: LONGEST - tail - 3]} … {shown[-tail:]}"


class RmlabError(Exception):
    """Something went wrong that the message explains, with what to do next."""

    exit_code = FAILURE

    def __init__(self, message: str = "") -> None:
        super().__init__(one_line(message))


class WorkerError(Exception):
    """What no one foresaw, in a worker process; the message begins with the error's kind there."""


class ConfigError(RmlabError):
    """The command line or a configuration file is wrong."""

    exit_code = USAGE


class InputError(RmlabError):
    """An input is missing, unreadable, stale, or not what a stage can use."""

    exit_code = MISSING_INPUT
