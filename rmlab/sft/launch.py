"""An attempt in processes of its own: one a device, each of which sees its device alone.

Trainer takes every GPU that it sees, and multiplies the batch by their number; so where this process sees
others than those asked for, it trains in processes that do not. They are started by torch's launcher, and
accelerate, inside Trainer, joins them (DDP: each has its share of a step's rows, gradients are averaged).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import IO

from rmlab.errors import ConfigError, InputError, RmlabError
from rmlab.logs import log
from rmlab.models.compute import available_cores
from rmlab.sft.checkpoints import Tell
from rmlab.sft.failures import OutOfMemory
from rmlab.sft.task import SftTask

_RECORDED = 10_000  # letters of what the processes wrote last, in the log of the run
STEP = "rmlab-step "  # begins a line that tells of a step


def needs_own_processes(task: SftTask) -> bool:
    import torch

    if task.how.devices > 1:
        return True
    on_gpu = task.device != "cpu" and torch.cuda.is_available()
    return on_gpu and torch.cuda.device_count() > 1


def launch(task: SftTask, rows_at_once: int, tell: Tell) -> None:
    """As attempt() does, in processes; their errors are raised here."""
    environment = os.environ | _devices(task)
    environment["OMP_NUM_THREADS"] = str(max(1, available_cores() // task.how.devices))
    task.failure.unlink(missing_ok=True)
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
        *("--nproc-per-node", str(task.how.devices), "-m", "rmlab.sft.worker"),
        *(str(task.write()), str(rows_at_once), str(os.getpid())),
    ]
    messages = task.work / "processes.log"
    with messages.open("w") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
        try:
            _follow(process.stdout, tell)
            code = process.wait()
        finally:
            process.terminate()
            process.wait()
    if code:
        _raise(task, messages)


def _devices(task: SftTask) -> dict[str, str]:
    """What the processes see of the GPUs: those asked for, of those that this process sees."""
    import torch

    n, (kind, _, index) = task.how.devices, task.device.partition(":")
    if kind == "cpu" or not torch.cuda.is_available():
        return {"CUDA_VISIBLE_DEVICES": ""}
    if index and n > 1:
        raise ConfigError(f"sft.devices={n} and device={task.device} do not go together; set device=auto")
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    visible = seen if seen != [""] else [str(i) for i in range(torch.cuda.device_count())]
    first = int(index or 0)
    if first + n > len(visible):
        raise InputError(f"sft.devices={n}: this machine shows {len(visible)} GPUs; set sft.devices to fewer")
    return {"CUDA_VISIBLE_DEVICES": ",".join(visible[first : first + n])}


def _follow(lines: IO[str] | None, tell: Tell) -> None:
    for line in lines or ():
        if line.startswith(STEP):
            done, total = json.loads(line.removeprefix(STEP))
            tell(done, total)


def _raise(task: SftTask, messages: Path) -> None:
    text = messages.read_text(errors="replace") if messages.is_file() else ""
    log.event("processes", "error", what="sft", text=text[-_RECORDED:])
    if not task.failure.is_file():
        said = [line for line in text.splitlines() if "Error" in line]
        raise RmlabError(
            f"training in {task.how.devices} processes failed ({said[-1][:160] if said else 'no message'}); "
            f"see {messages}, and run the same command to go on from the last checkpoint"
        )
    failure = json.loads(task.failure.read_text())
    kinds = {"memory": OutOfMemory, "input": InputError}
    raise kinds.get(failure["kind"], RmlabError)(failure["message"])
