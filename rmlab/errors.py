"""Every expected failure: one line for the user and an exit code."""

from __future__ import annotations

OK, FAILURE, USAGE, MISSING_INPUT, PARTIAL, INTERRUPTED = 0, 1, 2, 3, 4, 130


class RmlabError(Exception):
    """Something went wrong that the message explains, with what to do next."""

    exit_code = FAILURE


class WorkerError(Exception):
    """What no one foresaw, in a worker process; the message begins with the error's kind there."""


class ConfigError(RmlabError):
    """The command line or a configuration file is wrong."""

    exit_code = USAGE


class InputError(RmlabError):
    """An input is missing, unreadable, stale, or not what a stage can use."""

    exit_code = MISSING_INPUT
