"""Supervised fine-tuning, here or in several processes, with smaller batches where memory is short."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import IO, Any

from rmlab.errors import ConfigError, InputError, RmlabError
from rmlab.logs import log
from rmlab.logs.carried_errors import error_from_json
from rmlab.logs.progress import Progress
from rmlab.models.compute import available_cores
from rmlab.models.oom_retry import free_memory
from rmlab.processes import Child
from rmlab.removal import remove_file
from rmlab.sft.attempt import STEP, attempt
from rmlab.sft.checkpoints import Tell
from rmlab.sft.task import SftTask

_RECORDED = 10_000  # letters of what the processes wrote last, in the log of the run


def train(task: SftTask, progress: Progress) -> tuple[list[dict[str, Any]], list[str]]:
    """Trains the task, whose rows are written; returns the log's rows and warnings."""
    run = launch if needs_own_processes(task) else attempt
    warnings: list[str] = []
    rows_a_device = task.how.batch_size // task.how.devices
    while True:
        try:
            run(task, rows_a_device * task.how.devices, _Steps(progress))
            return json.loads(task.log.read_text()), warnings
        except MemoryError as error:
            reason = str(error)
        smaller = _next_smaller(rows_a_device)
        if smaller is None:
            raise RmlabError(
                f"out of memory with one demonstration at a time ({reason}); lower sft.max_tokens, "
                "or take sft=lora or a smaller model"
            )
        warnings.append(_warning(task, rows_a_device, smaller))
        progress.say(warnings[-1])
        rows_a_device = smaller
        free_memory()


def _next_smaller(rows_at_once: int) -> int | None:
    """Half as many or, where that does not divide, the next divisor below; None: one is the least."""
    smaller = [n for n in range(1, rows_at_once // 2 + 1) if rows_at_once % n == 0]
    return smaller[-1] if smaller else None


def _warning(task: SftTask, before: int, after: int) -> str:
    how = task.how
    added = how.accumulate * how.batch_size // (how.devices * after)
    return (
        f"out of memory with {before} demonstrations at once on a device; went on from the last checkpoint "
        f"with {after}, the gradients of {added} added up: the same {how.batch_size * how.accumulate} a step"
    )


class _Steps:
    """Shows the optimiser's steps; those of an earlier run count as skipped."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.done: int | None = None

    def __call__(self, done: int, total: int) -> None:
        if self.done is None:
            self.progress.start(total, "steps")
            self.progress.skip(done)
        else:
            self.progress.advance(done - self.done)
        self.done = done


def needs_own_processes(task: SftTask) -> bool:
    import torch

    if task.how.devices > 1:
        return True
    on_gpu = task.device != "cpu" and torch.cuda.is_available()
    return on_gpu and torch.cuda.device_count() > 1


def launch(task: SftTask, rows_at_once: int, tell: Tell) -> None:
    """Trains as attempt() does, in one process for each device; each process sees only its device.

    Trainer takes every GPU that it sees, and multiplies the batch by their number; so where this process sees
    others than those asked for, it trains in processes that do not. Torch's launcher starts them, and
    accelerate, inside Trainer, joins them (DDP: each has its share of a step's rows, gradients are averaged).
    """
    remove_file(task.failure)
    messages = task.work / "processes.log"
    with messages.open("w") as errors:
        child = Child(
            "torch.distributed.run",
            *("--standalone", "--nproc-per-node", str(task.how.devices), "-m", "rmlab.sft.attempt"),
            *(str(task.write()), str(rows_at_once)),
            environment=_environment(task),
            is_read=True,
            errors=errors,
        )
        assert child.stdin is not None and child.stdout is not None
        try:
            _follow(child.stdout, tell)
            code = child.wait()
        finally:
            child.stdin.close()  # the processes end at once, and the launcher with them
            child.terminate()
            child.wait()
    if code:
        _raise(task, messages)


def _environment(task: SftTask) -> dict[str, str]:
    return _devices(task) | {"OMP_NUM_THREADS": str(max(1, available_cores() // task.how.devices))}


def _devices(task: SftTask) -> dict[str, str]:
    """CUDA_VISIBLE_DEVICES for the processes: as many of this process's GPUs as were asked for."""
    n, (kind, _, index) = task.how.devices, task.device.partition(":")
    visible = _visible(kind)
    check_devices(n, task.device)
    first = int(index or 0)
    return {"CUDA_VISIBLE_DEVICES": ",".join(visible[first : first + n])}


def check_devices(n: int, device: str) -> None:
    """Raises an error where this machine shows GPUs, and fewer than n. On a CPU there may be n processes.

    device: as in the settings.
    """
    kind, _, index = device.partition(":")
    visible = _visible(kind)
    if not visible:
        return
    if index and n > 1:
        raise ConfigError(f"sft.devices={n} and device={device} do not go together; set device=auto")
    if int(index or 0) + n > len(visible):
        raise InputError(f"sft.devices={n}: this machine shows {len(visible)} GPUs; set sft.devices to fewer")


def _visible(kind: str) -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; none for a CPU."""
    import torch

    if kind == "cpu" or not torch.cuda.is_available():
        return []
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return seen if seen != [""] else [str(i) for i in range(torch.cuda.device_count())]


def _follow(lines: IO[bytes], tell: Tell) -> None:
    for line in lines:
        if line.startswith(STEP.encode()):
            done, total = json.loads(line.removeprefix(STEP.encode()))
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
    raise error_from_json(json.loads(task.failure.read_text()))
