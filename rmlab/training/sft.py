"""Supervised fine-tuning with TRL's SFTTrainer and peft's LoRA, resumed from checkpoints."""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path
from typing import Any

from rmlab.errors import RmlabError
from rmlab.progress import Progress
from rmlab.settings import Sft

Rows = list[dict[str, list[int]]]


def train(
    model: Any, tokenizer: Any, rows: Rows, how: Sft, seed: int, work: Path, progress: Progress
) -> tuple[Any, list[dict[str, Any]]]:
    """Trains on tokenised rows (input_ids, labels); returns the model, LoRA merged, and the log's rows."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        from datasets import Dataset, disable_progress_bars
        from transformers.trainer_utils import set_seed
        from trl import SFTTrainer
    except ImportError as error:
        raise RmlabError(f'sft needs TRL and peft ({error}); run: pip install "rmlab[train]"') from None

    disable_progress_bars()
    set_seed(seed)
    trainer = SFTTrainer(
        model=model,
        args=_arguments(how, seed, work, model),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=_lora(how) if how.method == "lora" else None,
        callbacks=[_reporter(progress)],
    )
    trainer.remove_callback(_printer())
    trainer.train(resume_from_checkpoint=_last_whole_checkpoint(work))
    trained = trainer.model.merge_and_unload() if how.method == "lora" else trainer.model
    log = _log_rows(trainer.state.log_history)
    if any(not math.isfinite(row["loss"]) for row in log):
        raise RmlabError("the loss of sft is not finite; lower sft.learning_rate, or use dtype=float32")
    return trained, log


def _last_whole_checkpoint(work: Path) -> str | None:
    """The newest checkpoint whose last file was written; a half-written one is removed."""
    found = sorted(work.glob("checkpoint-*"), key=lambda p: int(p.name.rpartition("-")[2]))
    for folder in reversed(found):
        if (folder / "trainer_state.json").is_file():
            return str(folder)
        shutil.rmtree(folder)
    return None


def _arguments(how: Sft, seed: int, work: Path, model: Any) -> Any:
    import torch
    from trl import SFTConfig

    on_cpu = model.device.type == "cpu"
    return SFTConfig(
        output_dir=str(work),
        num_train_epochs=how.epochs,
        per_device_train_batch_size=how.batch_size,
        gradient_accumulation_steps=how.accumulate,
        learning_rate=how.learning_rate,
        max_length=None,
        packing=False,
        seed=seed,
        data_seed=seed,
        use_cpu=on_cpu,
        bf16=model.dtype == torch.bfloat16,
        gradient_checkpointing=not on_cpu,
        dataloader_pin_memory=not on_cpu,
        logging_steps=1,
        logging_first_step=True,
        save_steps=how.checkpoint_steps,
        save_total_limit=1,
        report_to="none",
        disable_tqdm=True,
    )


def _lora(how: Sft) -> Any:
    from peft import LoraConfig

    return LoraConfig(
        r=how.rank,
        lora_alpha=how.alpha,
        lora_dropout=how.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def _printer() -> Any:
    from transformers import PrinterCallback

    return PrinterCallback


def _reporter(progress: Progress) -> Any:
    """A callback that shows the optimiser's steps."""
    from transformers import TrainerCallback

    class Reporter(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            progress.start(state.max_steps, "steps")
            progress.skip(state.global_step)

        def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            progress.advance(1)

    return Reporter()


def _log_rows(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"step": int(h["step"]), "epoch": float(h["epoch"]), "split": "train", "loss": float(h["loss"])}
        for h in history
        if "loss" in h
    ]
