"""A worker process of a stage that maps over shards: `python -m rmlab.pipeline.shard_worker FILE_DESCRIPTOR`.

Over the wire comes a job order, then the number of a part for each {"next": true}, null when none is left.
What it tells unasked: {"advance": [rows, tokens]}, {"say": text}, {"error": what an error is made of}.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from multiprocessing.connection import Connection

from rmlab.errors import RmlabError
from rmlab.logs import log
from rmlab.logs.library_logs import DEBUG, record_chatter
from rmlab.logs.progress import Progress
from rmlab.pipeline.parts import write_parts
from rmlab.pipeline.shard_workers import JobOrder, Wire, error_to_json

_TELL_EVERY = 0.2  # seconds


def main(descriptor: int) -> int:
    """Its exit code is 0 if it ran out of parts, or said what went wrong."""
    os.set_inheritable(descriptor, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    threading.Thread(target=_end_with_parent, daemon=True).start()
    log.join()
    record_chatter()
    wire = Wire(Connection(descriptor))
    try:
        order = JobOrder(**wire.receive())
        progress = _Told(wire)
        jobs = order.open(progress)
        write_parts(jobs, order.function()(jobs), _parts(wire, progress))
        progress.tell()
    except SystemExit:
        wire.send({"error": error_to_json(RmlabError("a component ended its process (sys.exit)"))})
    except Exception as error:
        if os.environ.get(DEBUG):
            traceback.print_exc()
        wire.send({"error": error_to_json(error)})
    return 0


def _end_with_parent() -> None:
    """Standard input ends when the parent does; the processes that a component has started end as well."""
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)


def _parts(wire: Wire, progress: _Told) -> Iterator[int]:
    while True:
        progress.tell()
        wire.send({"next": True})
        part = wire.receive()
        if part is None:
            return
        yield part


class _Told(Progress):
    """Progress that the parent shows; what is said is in the log as this process's."""

    def __init__(self, wire: Wire) -> None:
        super().__init__("", quiet=True)
        self.wire, self.rows, self.fresh_tokens, self.told = wire, 0, 0, time.monotonic()

    def advance(self, n: int = 0, tokens: int = 0) -> None:
        self.rows += n
        self.fresh_tokens += tokens
        if time.monotonic() - self.told > _TELL_EVERY:
            self.tell()

    def tell(self) -> None:
        if self.rows or self.fresh_tokens:
            self.wire.send({"advance": [self.rows, self.fresh_tokens]})
        self.rows, self.fresh_tokens, self.told = 0, 0, time.monotonic()

    def show(self, text: str) -> None:
        self.wire.send({"say": text})


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
