"""Supervised fine-tuning, resumed from a checkpoint, with smaller batches where memory is short."""

from __future__ import annotations

import gc
import json
import os
import shutil
from typing import Any

from rmlab.errors import RmlabError
from rmlab.logs.progress import Progress
from rmlab.models.compute import Compute
from rmlab.sft.checkpoints import Tell, Watch, last_whole_checkpoint
from rmlab.sft.failures import OutOfMemory, is_out_of_memory, next_smaller
from rmlab.sft.launch import launch, needs_own_processes
from rmlab.sft.task import SftTask
from rmlab.storage.files import write_json


def attempt(task: SftTask, rows_at_once: int, tell: Tell, parent: int | None = None) -> None:
    """Trains from the last whole checkpoint on; writes the log and what was trained.

    Raises OutOfMemory where rows_at_once rows do not fit; another attempt may go on with fewer.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        _train(task, rows_at_once, tell, parent)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        # its traceback would hold what takes the memory
        reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
    else:
        return
    raise OutOfMemory(reason)


def _train(task: SftTask, rows_at_once: int, tell: Tell, parent: int | None) -> None:
    try:
        from transformers.trainer_utils import set_seed

        from rmlab.sft.trainer import make_trainer
    except ImportError as error:
        raise RmlabError(f'sft needs TRL and peft ({error}); run: pip install "rmlab[train]"') from None

    parts = task.read_rows()
    model, tokenizer = _load(task)
    set_seed(task.seed)
    checkpoint = last_whole_checkpoint(task.work)
    watch = Watch(tell, parent)
    trainer, steps = make_trainer(task, model, tokenizer, parts, rows_at_once, checkpoint is None, [watch])
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    if trainer.is_world_process_zero():
        _write(task, trainer, steps)


def _load(task: SftTask) -> tuple[Any, Any]:
    """The model in 32-bit weights, so that small updates are not rounded away; in bfloat16 the computation.

    A base that LoRA leaves as it is needs no more bits than the computation; the adapter has 32.
    """
    from transformers import AutoModelForCausalLM

    dtype = task.precision if task.how.method == "lora" else "float32"
    device = task.device
    if "LOCAL_RANK" in os.environ and device != "cpu":
        device = f"cuda:{os.environ['LOCAL_RANK']}"
    compute = Compute(dtype, device, task.trust_remote_code)
    return compute.load_model(AutoModelForCausalLM, task.base), compute.load_tokenizer(task.base)


def _write(task: SftTask, trainer: Any, steps: int) -> None:
    import torch

    shutil.rmtree(task.trained, ignore_errors=True)
    model = trainer.model
    if task.how.method == "full":
        model = model.to(getattr(torch, task.saved))
    model.save_pretrained(task.trained)
    write_json(task.log, _log_rows(trainer.state.log_history, steps))


def _log_rows(history: list[dict[str, Any]], steps_an_epoch: int) -> list[dict[str, Any]]:
    """Rows of the training log: (step, split) once each."""
    found: dict[tuple[int, str], float] = {}
    for entry in history:
        for name, split in (("loss", "train"), ("eval_loss", "validation")):
            if name in entry:
                found[int(entry["step"]), split] = float(entry[name])
    return [
        {"step": step, "epoch": step / steps_an_epoch, "split": split, "loss": loss}
        for (step, split), loss in sorted(found.items())
    ]


def train(task: SftTask, progress: Progress) -> tuple[list[dict[str, Any]], list[str]]:
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


def _warning(task: SftTask, before: int, after: int) -> str:
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
