"""Failures as one line and an exit code, and the log of the run."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rmlab import interrupts
from rmlab.errors import FAILURE, INTERRUPTED, RmlabError, WorkerError, one_line
from rmlab.logs import log
from rmlab.logs.library_logs import DEBUG, record_library_logs
from rmlab.logs.records import message_of, shell_line

_LONGEST = 1000  # letters of a command that is worth showing again


def guarded(app: Callable[..., Any]) -> int:
    """Runs the app; the only place that sets up logging and turns failures into exit codes."""
    # Threads that spin long while they wait stall torch where another process wants a core.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read when the hub's package is imported
    _open_streams()
    interrupts.listen()
    log.start(sys.argv)
    undo = record_library_logs()
    try:
        code = _run(app)
        interrupts.ignore()
        log.end(code)
        return code
    finally:
        undo()
        log.stop()


def _open_streams() -> None:
    """A daemon may have none, and other files would take the places of those that are closed."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115


def _run(app: Callable[..., Any]) -> int:
    try:
        code = int(app(standalone_mode=False) or 0)
        sys.stdout.flush()
        return _interrupted() if code == INTERRUPTED else code  # Typer turns Ctrl-C into this code
    except RmlabError as error:
        log.failure(error)
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _interrupted()
    except SystemExit as error:
        return _ended(error)
    except BrokenPipeError as error:
        log.failure(error)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    except Exception as error:
        return _other(error)


def _interrupted() -> int:
    interrupts.ignore()
    log.event("interrupted", "warning")
    return _fail("interrupted; what is done is kept, run the same command to go on", INTERRUPTED)


def _ended(error: SystemExit) -> int:
    """Shell completion ends so, which makes nothing; of a run it would be the end without a word."""
    if not log.has_begun():
        raise error
    log.failure(error)
    return _fail("a component ended the process (sys.exit); mend it, run the same command to go on", FAILURE)


def _other(error: Exception) -> int:
    """Wrong use of the command line has its own code and message; the rest is unexpected."""
    if hasattr(error, "exit_code") and hasattr(error, "format_message"):
        log.failure(error)
        return _fail(error.format_message(), int(error.exit_code))
    if type(error).__name__ == "Abort":
        return _interrupted()
    log.failure(error)
    if os.environ.get(DEBUG):
        traceback.print_exc()
    if isinstance(error, OSError) and error.strerror:
        return _fail(f"{error.strerror}: {error.filename or 'no file name'}", FAILURE)
    if isinstance(error, MemoryError):
        return _fail("out of memory; lower the batch size or use fewer responses", FAILURE)
    return _unexpected(error)


def _unexpected(error: Exception) -> int:
    """What it is, where its whole story is, and how to go on."""
    kind = "" if isinstance(error, WorkerError) else type(error).__name__
    detail = " ".join(message_of(error).split())[:300]
    what = f"unexpected {': '.join(filter(None, (kind, detail)))}"
    path, command = log.saved(), shell_line(["rmlab", *sys.argv[1:]])
    where = f"log: {shell_line([str(path)])}" if path else f"no log could be written, {DEBUG}=1 shows where"
    again = command if len(command) <= _LONGEST else "run the same command again"
    return _fail(what, FAILURE, f"; {where}; go on: {again}")


def _fail(message: str, code: int, rest: str = "") -> int:
    print(f"rmlab: {one_line(message)}{rest}", file=sys.stderr, flush=True)
    return code
