"""Expected failures, each with an exit code and a message of one line for the user."""

from __future__ import annotations

from collections.abc import Sequence

OK, FAILURE, USAGE, MISSING_INPUT, PARTIAL, INTERRUPTED = 0, 1, 2, 3, 4, 130
LONGEST = 1000  # characters of a message


class RmlabError(Exception):
    """An expected failure; its message says what is wrong and what to do."""

    exit_code = FAILURE
    parts: tuple[RmlabError, ...] = ()  # several errors that this one tells of together

    def __init__(self, message: str = "") -> None:
        super().__init__(one_line(message))

    @property
    def errors(self) -> tuple[RmlabError, ...]:
        return self.parts or (self,)

    @property
    def lines(self) -> list[str]:
        """The messages to show, each of one line."""
        return [str(error) for error in self.errors]


class WorkerError(Exception):
    """An unexpected failure in a worker process; its message begins with the type of the original error."""


class ConfigError(RmlabError):
    """The command line or a configuration file is wrong."""

    exit_code = USAGE


class InputError(RmlabError):
    """An input is missing, unreadable, stale, or not what a stage can use."""

    exit_code = MISSING_INPUT


def together(errors: Sequence[RmlabError]) -> RmlabError:
    """Returns one error that tells of all: a ConfigError if any is of the settings, else an InputError."""
    if len(errors) == 1:
        return errors[0]
    kind = ConfigError if any(error.exit_code == USAGE for error in errors) else InputError
    error = kind(" | ".join(map(str, errors)))
    error.parts = tuple(errors)
    return error


def printable(text: str) -> str:
    """Returns the text with escapes in place of control, direction and other unprintable characters, such as
    the ends of lines."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def one_line(text: str) -> str:
    """Returns the text on one line, with escapes in place of control and unprintable characters.

    Of a long text the beginning, which says what is wrong, and the end, which says what to do, are kept.
    """
    if len(text) > 8 * LONGEST:  # no need to escape megabytes of a hostile value
        text = f"{text[: 4 * LONGEST]} … {text[-4 * LONGEST :]}"
    line = " ".join(text.split())
    shown = printable(line)
    if len(shown) <= LONGEST:
        return shown
    tail = LONGEST // 3
    return f"{shown[: LONGEST - tail - 3]} … {shown[-tail:]}"
