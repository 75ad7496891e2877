"""TRL's SFTTrainer, set up: rows in a settled order, losses over completion tokens only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datasets import Dataset, disable_progress_bars
from torch.utils.data import SequentialSampler
from transformers import PrinterCallback
from trl import SFTConfig, SFTTrainer

from rmlab.config.fitting import Sft
from rmlab.sft.callbacks import Evaluate, Seal
from rmlab.sft.checkpoints import KEPT
from rmlab.sft.task import Rows, SftTask, step_order

_IGNORED = -100


class Trainer(SFTTrainer):
    """Takes the rows as they come, and evaluates to the mean over all held-out completion tokens."""

    tokens_a_row: float = 1.0  # learned ones, of held-out rows

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return SequentialSampler(self.train_dataset if train_dataset is None else train_dataset)

    def prediction_step(
        self, model: Any, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: Any = None
    ) -> tuple[Any, None, None]:
        """A batch's loss, scaled so that its mean over rows is the mean over tokens.

        The loop that calls this weights a batch of b rows by b. With S the sum over the batch's tokens,
        T the held-out tokens and n the held-out rows, S / (b T / n) sums up to sum(S) / T, whatever the
        batches are.
        """
        import torch

        inputs = self._prepare_inputs(inputs)
        share = self.tokens_a_row * len(inputs["input_ids"])
        # where several processes train, a loss over a given number of tokens is multiplied by theirs
        share *= self.accelerator.num_processes
        with torch.no_grad(), self.compute_loss_context_manager():
            loss = self.compute_loss(model, inputs, num_items_in_batch=torch.tensor(share))
        return loss, None, None


def make_trainer(
    task: SftTask, model: Any, tokenizer: Any, parts: tuple[Rows, Rows], rows_at_once: int, fresh: bool,
    callbacks: Sequence[Any] = (),
) -> tuple[Trainer, int]:  # fmt: skip
    """The trainer and the steps of an epoch. rows_at_once: on all devices; fresh: not from a checkpoint."""
    disable_progress_bars()
    (rows, held_out), how = parts, task.how
    order = step_order(len(rows), how.epochs, how.batch_size * how.accumulate, task.seed)
    blank = _blank(rows)
    data = Dataset.from_list([*rows, blank]).select(order.reshape(-1))
    # whole batches of held-out rows too: devices would else fill up the last one with rows seen before
    held = [*held_out, *[blank] * (-len(held_out) % rows_at_once)]
    steps = order.shape[1]
    evaluated = [Evaluate(steps, how.eval_steps)] if held_out else []
    trainer = Trainer(
        model=model,
        args=_arguments(task, model, rows_at_once, evaluate=bool(held_out) and fresh),
        train_dataset=data,
        eval_dataset=Dataset.from_list(held) if held else None,
        processing_class=tokenizer,
        peft_config=_lora(how) if how.method == "lora" else None,
        callbacks=[*evaluated, Seal(), *callbacks],
    )
    trainer.remove_callback(PrinterCallback)
    if held:
        trainer.tokens_a_row = _learned(held) / len(held)
    return trainer, steps


def _blank(rows: Rows) -> dict[str, list[int]]:
    """A row that teaches nothing."""
    some = rows[0]["input_ids"][:2]
    return {"input_ids": some, "labels": [_IGNORED] * len(some)}


def _learned(rows: Rows) -> int:
    return sum(label != _IGNORED for row in rows for label in row["labels"][1:])


def _arguments(task: SftTask, model: Any, rows_at_once: int, evaluate: bool) -> Any:
    """One epoch of Trainer's is the whole training: the order of the rows has all epochs in it."""
    how, on_cpu = task.how, model.device.type == "cpu"
    rows_a_device = rows_at_once // how.devices
    return SFTConfig(
        output_dir=str(task.work),
        num_train_epochs=1,
        per_device_train_batch_size=rows_a_device,
        per_device_eval_batch_size=rows_a_device,
        gradient_accumulation_steps=how.accumulate * how.batch_size // rows_at_once,
        learning_rate=how.learning_rate,
        max_length=None,
        packing=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        seed=task.seed,
        data_seed=task.seed,
        use_cpu=on_cpu,
        ddp_backend=("gloo" if on_cpu else "nccl") if how.devices > 1 else None,
        ddp_find_unused_parameters=False if how.devices > 1 else None,
        bf16=task.precision == "bfloat16",
        gradient_checkpointing=not on_cpu,
        dataloader_pin_memory=not on_cpu,
        logging_steps=1,
        logging_first_step=True,
        logging_nan_inf_filter=False,
        eval_on_start=evaluate,
        save_steps=how.checkpoint_steps,
        save_total_limit=KEPT,
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
