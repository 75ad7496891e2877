"""The process in which strangers' files are opened: `python -m rmlab.storage.untrusted_child KIND`.

Readers believe what a file declares: a small file can make them fill the memory, crash them, or keep them
busy for ever. So this process imports the reader of one kind once, and forks for every file. The fork may use
MEMORY bytes more than it begins with, and FILE_TIMES the size of the file, and it may write no file. It sends
what it reads over a connection of its own, whose other end is in untrusted.py: messages of JSON, some of
which announce bytes that follow.

Where the system keeps no RLIMIT_AS (macOS), memory is bounded only by what is counted here, but a crash still
ends nothing but the fork.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import socket
import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from rmlab.storage.untrusted_bounds import (
    FILE_TIMES,
    MEMORY,
    TABLE,
    TEMPLATE,
    TENSOR,
    Refused,
    first_line,
    tell,
)

READERS = {  # modules with a function answer(to, asked, size), which sends what is asked for
    TABLE: "rmlab.storage.untrusted_table",
    TENSOR: "rmlab.storage.untrusted_tensor",
    TEMPLATE: "rmlab.storage.untrusted_template",
}


def main(kind: str) -> None:
    """Waits for connections over the socket that is its standard input, one for each file, until the other
    end closes it; then it ends, with forks that are still at a file."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # forks are not waited for
    reader = importlib.import_module(READERS[kind])
    with socket.socket(fileno=0) as waiting:
        while given := socket.recv_fds(waiting, 1, 1)[1]:
            if os.fork() == 0:
                try:
                    _answer(kind, reader, Connection(given[0]))
                finally:
                    os._exit(0)
            os.close(given[0])
    os.killpg(0, signal.SIGKILL)


def _answer(kind: str, reader: Any, to: Connection) -> None:
    try:
        asked = json.loads(to.recv_bytes())
        tell(to, _outcome(kind, reader, to, asked))
    except (EOFError, ConnectionError):  # whoever asked wants no more
        pass


def _outcome(kind: str, reader: Any, to: Connection, asked: dict[str, Any]) -> dict[str, Any]:
    most = 0
    try:
        size = _size(Path(asked["path"])) if "path" in asked else 0
        most = _limit(size)
        reader.answer(to, asked, size)
        return {"end": True}
    except (EOFError, ConnectionError):
        raise
    except MemoryError:
        return {"refused": f"cannot be read within {most:,} bytes of memory; write smaller rows"}
    except Refused as error:
        return {"refused": str(error)}
    except Exception as error:  # readers raise whatever a file makes them stumble over
        form, reason = asked.get("form", kind), first_line(error)
        return {"refused": f"is not a readable {form} file ({reason}); write it again"}


def _size(path: Path) -> int:
    if path.exists() and not path.is_file():
        raise ValueError("it is no plain file")
    return path.stat().st_size


def _limit(size: int) -> int:
    """Limits what this process may use from here on -> bytes."""
    most = MEMORY + FILE_TIMES * size
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    with suppress(OSError, ValueError):  # there is no /proc, or no such limit
        now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + most, now + most))
    return most


if __name__ == "__main__":
    main(sys.argv[1])
