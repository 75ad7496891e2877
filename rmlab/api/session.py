"""Shared by all calls from Python: checks of arguments, a log, and the command line that does the same."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rmlab.errors import FAILURE, INTERRUPTED, OK, ConfigError, RmlabError
from rmlab.logs import log
from rmlab.logs.package_logs import record_package_logs
from rmlab.logs.records import shell_line


def checked(overrides: Sequence[object], config_dir: str | Path | None) -> tuple[list[str], Path | None]:
    """The overrides as texts and the folder of settings as a path; ConfigError for anything else."""
    for override in overrides:
        if not isinstance(override, str):
            raise ConfigError(
                f"an override must be text, such as 'seed=1', got {type(override).__name__}; give each as an "
                "argument of its own, a list as *overrides"
            )
    if config_dir is not None and not isinstance(config_dir, str | os.PathLike):
        raise ConfigError(f"config_dir must be a path, got {type(config_dir).__name__}")
    return [str(override) for override in overrides], None if config_dir is None else Path(config_dir)


@contextmanager
def session(verb: str, overrides: Sequence[str], config_dir: Path | None) -> Iterator[str]:
    """Keeps a log of the work within, as of a command, and yields the command line that does the same.

    Within another session, or a command, there is no log of its own. Errors go on to the caller.
    """
    options = ["--config-dir", str(config_dir)] if config_dir else []
    words = ["rmlab", verb, *options, *overrides]
    if log.is_kept():
        yield shell_line(words)
        return
    log.start(words)
    undo = record_package_logs()
    code = OK
    try:
        yield shell_line(words)
    except BaseException as error:
        log.failure(error)
        code = _code(error)
        raise
    finally:
        log.end(code)
        undo()
        log.stop()


def _code(error: BaseException) -> int:
    """The exit code that a command would have ended with."""
    if isinstance(error, RmlabError):
        return error.exit_code
    return INTERRUPTED if isinstance(error, KeyboardInterrupt) else FAILURE
