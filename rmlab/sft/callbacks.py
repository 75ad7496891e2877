"""Callbacks of the training: they show its steps, evaluate, and seal its checkpoints."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from rmlab.errors import RmlabError
from rmlab.sft.checkpoints import Tell
from rmlab.storage.integrity import seal_folder

NOT_FINITE = (
    "the loss of sft is not finite at step {}; lower sft.learning_rate, or set sft.precision=float32 "
    "and dtype=float32"
)


class Watch(TrainerCallback):
    """Shows steps and stops at a loss that is not a number, before more steps are spent on it."""

    def __init__(self, tell: Tell) -> None:
        self.tell = tell

    def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        self.tell(state.global_step, state.max_steps)

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        self.tell(state.global_step, state.max_steps)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **rest: Any) -> None:
        for name in ("loss", "eval_loss"):
            if name in logs and not math.isfinite(logs[name]):
                raise RmlabError(NOT_FINITE.format(state.global_step))


class Evaluate(TrainerCallback):
    """Evaluates at the end of each epoch and, if asked for, every so many steps."""

    def __init__(self, steps_an_epoch: int, every: int | None) -> None:
        self.periods = [steps_an_epoch, *([every] if every else [])]

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        if any(state.global_step % n == 0 for n in self.periods):
            control.should_evaluate = True


class Seal(TrainerCallback):
    """Seals a checkpoint when the files of all processes are written."""

    def on_save(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        from torch import distributed

        if distributed.is_available() and distributed.is_initialized():
            distributed.barrier()
        if state.is_world_process_zero:
            seal_folder(Path(args.output_dir) / f"checkpoint-{state.global_step}")
