"""Checkpoints that are whole or absent, and the callbacks that write them during training.

What Trainer keeps of the optimiser and the random numbers are files of torch.save. They are written and
read by this program alone, in the artifact's scratch folder, are loaded as weights only, and go when the
stage is done: nothing of them is in a finished artifact.
"""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from rmlab.errors import RmlabError
from rmlab.removal import remove_scratch
from rmlab.storage.integrity import is_as_sealed, seal_folder

KEPT = 2  # a torn newest one leaves the one before


def last_whole_checkpoint(work: Path) -> Path | None:
    """The newest checkpoint that is as it was sealed; those that are not are removed."""
    found = sorted(work.glob("checkpoint-*"), key=lambda p: int(p.name.rpartition("-")[2]))
    whole = [folder for folder in found if is_as_sealed(folder)]
    for folder in set(found) - set(whole):
        remove_scratch(folder)  # each process of a training does this
    return whole[-1] if whole else None


Tell = Callable[[int, int], None]  # told the optimiser steps done, and how many there are

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


_TORCH = ("PytorchStreamWriter", "inline_container.cc")  # torch.save, which does not say why it failed


@contextmanager
def as_os_error() -> Iterator[None]:
    """Turns errors that libraries raise for a full or failing disk into an OSError."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        said = str(error)
        if "no space left" in said.lower():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        if any(word in said for word in _TORCH):
            raise OSError(errno.EIO, "a checkpoint could not be written") from error
        raise
