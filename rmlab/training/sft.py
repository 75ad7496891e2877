"""Supervised fine-tuning, resumed, and with fewer demonstrations at once where memory is short."""

from __future__ import annotations

import gc
import json
from typing import Any

from rmlab.errors import RmlabError
from rmlab.progress import Progress
from rmlab.training.attempt import attempt
from rmlab.training.launch import launch, needs_own_processes
from rmlab.training.memory import OutOfMemory, next_smaller
from rmlab.training.task import Task


def train(task: Task, progress: Progress) -> tuple[list[dict[str, Any]], list[str]]:
    """Trains the task, whose rows are written; returns the log's rows and warnings."""
    run = launch if needs_own_processes(task) else attempt
    warnings: list[str] = []
    rows_a_device = task.how.batch_size // task.how.devices
    while True:
        try:
            run(task, rows_a_device * task.how.devices, _Steps(progress))
            return json.loads(task.log.read_text()), warnings
        except OutOfMemory as error:
            reason = str(error)
        smaller = next_smaller(rows_a_device)
        if smaller is None:
            raise RmlabError(
                f"out of memory with one demonstration at a time ({reason}); lower sft.max_tokens, "
                "or take sft=lora or a smaller model"
            )
        warnings.append(_warning(task, rows_a_device, smaller))
        progress.say(warnings[-1])
        rows_a_device = smaller
        _free()


def _warning(task: Task, before: int, after: int) -> str:
    how = task.how
    added = how.accumulate * how.batch_size // (how.devices * after)
    return (
        f"out of memory with {before} demonstrations at once on a device; went on from the last checkpoint "
        f"with {after}, the gradients of {added} added up: the same {how.batch_size * how.accumulate} a step"
    )


def _free() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


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
