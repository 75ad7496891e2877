"""One attempt at a training, in this process or in each of several under torch's launcher.

Run as `python -m rmlab.sft.attempt TASK ROWS_AT_ONCE` it is one of these processes.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from rmlab.config.fitting import Sft
from rmlab.config.optional_packages import lacking, require
from rmlab.errors import RmlabError
from rmlab.logs.carried_errors import error_to_json
from rmlab.models.compute import Compute
from rmlab.models.oom_retry import is_out_of_memory
from rmlab.processes import end_with_parent
from rmlab.removal import remove_scratch
from rmlab.sft.checkpoints import Tell, last_whole_checkpoint
from rmlab.sft.task import SftTask
from rmlab.storage.files import write_json
from rmlab.terminal import say

STEP = "rmlab-step "  # begins a line that tells of a step


def packages(how: Sft) -> tuple[str, ...]:
    """Returns the optional packages that a training needs."""
    return ("trl", "datasets", "peft") if how.method == "lora" else ("trl", "datasets")


def attempt(task: SftTask, rows_at_once: int, tell: Tell) -> None:
    """Trains from the last whole checkpoint on; writes the log and what was trained.

    Raises MemoryError where rows_at_once rows do not fit; another attempt may go on with fewer.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        _train(task, rows_at_once, tell)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        # its traceback would hold what takes the memory
        reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
    else:
        return
    raise MemoryError(reason)


def _train(task: SftTask, rows_at_once: int, tell: Tell) -> None:
    require("sft", *packages(task.how))
    try:
        from transformers.trainer_utils import set_seed

        from rmlab.sft.callbacks import Watch
        from rmlab.sft.trainer import make_trainer
    except ImportError as error:
        raise lacking("sft", *packages(task.how), why=error) from None

    parts = task.read_rows()
    model, tokenizer = _load(task)
    set_seed(task.seed)
    checkpoint = last_whole_checkpoint(task.work)
    watch = Watch(tell)
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

    remove_scratch(task.trained)
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


def main(file: Path, rows_at_once: int) -> int:
    """0, or 1 with what went wrong in the task's failure file, if it was foreseen."""
    end_with_parent()
    task = SftTask.read(file)
    try:
        attempt(task, rows_at_once, _tell)
    except (MemoryError, RmlabError) as error:
        write_json(task.failure, error_to_json(error))
        return 1
    return 0


def _tell(done: int, total: int) -> None:
    if os.environ.get("RANK", "0") == "0":
        say(f"{STEP}{json.dumps([done, total])}")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
