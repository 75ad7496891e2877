"""Failures as one line and an exit code."""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from types import FrameType
from typing import Any

from rmlab.errors import FAILURE, INTERRUPTED, RmlabError, one_line

_DEBUG = "RMLAB_DEBUG"


def guarded(app: Callable[..., Any]) -> int:
    """Runs the app; the only place that sets up logging and turns failures into exit codes."""
    if not os.environ.get(_DEBUG):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
    # Threads that spin long while they wait stall torch where another process wants a core.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        code = int(app(standalone_mode=False) or 0)
        sys.stdout.flush()
        return _interrupted() if code == INTERRUPTED else code  # Typer turns Ctrl-C into this code
    except RmlabError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _interrupted()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    except Exception as error:
        return _other(error)


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _interrupted() -> int:
    return _fail("interrupted; what is done is kept, run the same command to go on", INTERRUPTED)


def _other(error: Exception) -> int:
    """Wrong use of the command line has its own code and message; the rest is unexpected."""
    if hasattr(error, "exit_code") and hasattr(error, "format_message"):
        return _fail(error.format_message(), int(error.exit_code))
    if type(error).__name__ == "Abort":
        return _interrupted()
    if os.environ.get(_DEBUG):
        traceback.print_exc()
    if isinstance(error, OSError) and error.strerror:
        return _fail(f"{error.strerror}: {error.filename or 'no file name'}", FAILURE)
    if isinstance(error, MemoryError):
        return _fail("out of memory; lower the batch size or use fewer responses", FAILURE)
    detail = one_line(str(error))[:300]
    return _fail(f"unexpected {type(error).__name__}: {detail} ({_DEBUG}=1 shows where)", FAILURE)


def _fail(message: str, code: int) -> int:
    print("rmlab: " + one_line(message), file=sys.stderr, flush=True)
    return code
