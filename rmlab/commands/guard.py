"""Turns failures into one line and an exit code, and keeps the log of the run."""

from __future__ import annotations

import errno
import os
import shlex
import sys
import traceback
from collections.abc import Callable
from typing import Any

from rmlab import terminal
from rmlab.errors import FAILURE, INTERRUPTED, OK, RmlabError, WorkerError, one_line
from rmlab.logs import log
from rmlab.logs.package_logs import DEBUG, record_package_logs
from rmlab.logs.records import message_of, shell_line
from rmlab.machine import is_of_shared_memory
from rmlab.pipeline import interrupts

_LONGEST = 1000  # characters of a command that is shown again


def guarded(app: Callable[..., Any]) -> int:
    """Runs the app; the only place that sets up logging and turns failures into exit codes."""
    # OpenMP threads that spin while they wait slow torch down if another process wants the core.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read when the hub's package is imported
    terminal.start()
    interrupts.listen()
    log.start(sys.argv)
    undo = record_package_logs()
    try:
        code = _with_output(_run(app))
        interrupts.ignore()
        log.end(code)
        return code
    finally:
        undo()
        log.stop()


def _run(app: Callable[..., Any]) -> int:
    try:
        code = int(app(standalone_mode=False) or 0)
        return _interrupted() if code == INTERRUPTED else code  # Typer turns Ctrl-C into this code
    except RmlabError as error:
        log.failure(error)
        return _fail_by(error)
    except KeyboardInterrupt:
        return _interrupted()
    except SystemExit as error:
        return _exited(error)
    except BrokenPipeError as error:  # what the help is written to has ended
        terminal.OUT.lose(error)
        return FAILURE
    except Exception as error:
        return _report(error)


def _with_output(code: int) -> int:
    """The exit code; a failure where results could not be printed, unless their terminal was closed."""
    terminal.flush()
    for screen in (terminal.OUT, terminal.ERR):
        if screen.lost is not None:
            log.event("terminal", "warning", text=f"its output was lost: {message_of(screen.lost)}")
    lost = terminal.OUT.lost
    if lost is None or terminal.OUT.has_hung_up or code != OK:
        return code
    if isinstance(lost, BrokenPipeError):  # its reader wants no more, as `head` does
        return FAILURE
    reason = getattr(lost, "strerror", None) or message_of(lost)
    return _fail(f"the output cannot be written ({reason}); what was made is kept", FAILURE)


def _interrupted() -> int:
    interrupts.ignore()
    log.event("interrupted", "warning")
    return _fail("interrupted; what is done is kept, run the same command to go on", INTERRUPTED)


def _exited(error: SystemExit) -> int:
    """Reports a SystemExit during a run, raised by a component; shell completion, too, ends by one."""
    if not log.has_begun():
        raise error
    log.failure(error)
    return _fail(
        "a component ended the process (sys.exit); fix it and run the same command to go on", FAILURE
    )


def _report(error: Exception) -> int:
    """Reports any other error: command-line errors with their own code and message, the rest as
    unexpected."""
    if hasattr(error, "exit_code") and hasattr(error, "format_message"):
        log.failure(error)
        return _fail(f"{error.format_message()}{_hint(error)}", int(error.exit_code))
    if type(error).__name__ == "Abort":
        return _interrupted()
    log.failure(error)
    if os.environ.get(DEBUG):
        terminal.note(*traceback.format_exc().splitlines())
    if lack := _lack_of_the_machine(error):
        return _fail(f"{lack}; what is done is kept", FAILURE)
    if isinstance(error, OSError) and error.strerror:
        return _fail(f"{error.strerror}: {error.filename or 'no file name'}", FAILURE)
    if isinstance(error, MemoryError):
        return _fail("out of memory; lower the batch size or use fewer responses", FAILURE)
    return _unexpected(error)


def _hint(error: Exception) -> str:
    """Returns how a setting is written, for an unknown option that may be meant as one, and what is written
    in place of a setting, where a command takes none; else ""."""
    context = getattr(error, "ctx", None)
    extra = "unexpected extra argument" in str(error)
    if context and extra and (given := next((a for a in sys.argv[2:] if "=" in a and a in str(error)), "")):
        column = given.removeprefix("columns.")
        takes = any("--column" in option.opts for option in context.command.params)
        is_column = takes and column != given
        way = (
            f"write --column {shlex.quote(column)}"
            if is_column
            else f"see `rmlab {context.info_name} --help`"
        )
        return f"; this command takes options and no settings: {way}"
    name = str(getattr(error, "option_name", "") or "")
    if not name.startswith("--") or getattr(error, "possibilities", None):
        return ""
    setting = name.removeprefix("--")
    return f"; settings are written without dashes, as {setting}=VALUE; `rmlab settings` lists them"


def _lack_of_the_machine(error: Exception) -> str:
    """Returns what the system gives to no program, and what to do about it; "" for other errors."""
    if _lacks_processes(error):
        return "no more processes or threads can be started; raise `ulimit -u`, or end some of yours"
    if is_of_shared_memory(error):
        return (
            f"processes can share no memory ({message_of(error)}); mount /dev/shm so that it can be written "
            "(in a container: --shm-size=1g)"
        )
    return ""


def _lacks_processes(error: Exception) -> bool:
    """True for what fork and the start of a thread say at the limit of a user's processes."""
    is_of_fork = isinstance(error, OSError) and error.errno == errno.EAGAIN and error.filename is None
    return is_of_fork or "can't start new thread" in message_of(error)


def _unexpected(error: Exception) -> int:
    """Reports an unexpected error: its kind, the log that has its traceback, and the command to go on."""
    kind = "" if isinstance(error, WorkerError) else type(error).__name__
    detail = " ".join(message_of(error).split())[:300]
    what = f"unexpected {': '.join(filter(None, (kind, detail)))}"
    path, command = log.saved(), shell_line(["rmlab", *sys.argv[1:]])
    where = f"log: {shell_line([str(path)])}" if path else f"no log could be written, {DEBUG}=1 shows where"
    again = command if len(command) <= _LONGEST else "run the same command again"
    return _fail(what, FAILURE, f"; {where}; go on: {again}")


def _fail_by(error: RmlabError) -> int:
    """Shows each of the error's messages on a line of its own."""
    for line in error.lines:
        _fail(line, error.exit_code)
    return error.exit_code


def _fail(message: str, code: int, rest: str = "") -> int:
    terminal.note(f"rmlab: {one_line(message)}{rest}")
    return code
