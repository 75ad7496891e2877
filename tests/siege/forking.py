"""A program that has imported rmlab once, and forks for each command: python -P forking.py COMMANDS ENDS SECONDS [MODULE ..].

COMMANDS: a JSON file with a list of {"argv", "cwd"}. ENDS: where it writes, in the same order, how each
ended. SECONDS: that each may take. MODULE: imported once, too. A fork differs from a process of its own only in that its imports cost nothing.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any


def main(commands: Path, ends: Path, seconds: float, modules: list[str]) -> None:
    import rmlab.cli
    import rmlab.commands.importing
    import rmlab.commands.inspect
    import rmlab.commands.run
    import rmlab.models.decoding.decoder
    import rmlab.stages.report  # noqa: F401

    for module in modules:
        importlib.import_module(module)
    ends.write_text(json.dumps([_end(command, seconds) for command in json.loads(commands.read_text())]))


def _end(command: dict[str, Any], seconds: float) -> dict[str, Any]:
    """How a command ended, in a fork; a fork that takes too long is killed."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if not child:
            _run(command, out.fileno(), err.fileno())
        signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
        signal.setitimer(signal.ITIMER_REAL, seconds)
        _, status, usage = os.wait4(child, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        said = [os.pread(f.fileno(), 1 << 24, 0).decode(errors="replace") for f in (out, err)]
    code, took = os.waitstatus_to_exitcode(status), time.monotonic() - started
    peak = usage.ru_maxrss * 1024
    return {"code": code, "out": said[0], "err": said[1], "seconds": took, "peak": peak}


def _run(command: dict[str, Any], out: int, err: int) -> None:
    """In the fork: rmlab's own entry point, and no way back."""
    code = 99
    try:
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.chdir(command["cwd"])
        sys.argv = ["rmlab", *command["argv"]]
        from rmlab.cli import main as rmlab

        rmlab()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        import atexit

        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), sys.argv[4:])
