"""A process of a training, under torch's launcher: -m rmlab.sft.worker TASK ROWS_AT_ONCE PARENT."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rmlab.errors import InputError, RmlabError
from rmlab.sft.failures import OutOfMemory
from rmlab.sft.launch import STEP
from rmlab.sft.task import SftTask
from rmlab.sft.train import attempt
from rmlab.storage.files import write_json


def main(file: Path, rows_at_once: int, parent: int) -> int:
    """0, or 1 with what went wrong in the task's failure file."""
    task = SftTask.read(file)
    try:
        attempt(task, rows_at_once, _tell, parent)
    except OutOfMemory as error:
        return _fail(task, "memory", error)
    except InputError as error:
        return _fail(task, "input", error)
    except RmlabError as error:
        return _fail(task, "error", error)
    return 0


def _tell(done: int, total: int) -> None:
    if os.environ.get("RANK", "0") == "0":
        print(f"{STEP}[{done}, {total}]", flush=True)


def _fail(task: SftTask, kind: str, error: Exception) -> int:
    write_json(task.failure, {"kind": kind, "message": str(error)})
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
