"""The stage sft fine-tunes a model on demonstrations, and writes it or a LoRA adapter for the sampler."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from rmlab.config.optional_packages import require
from rmlab.data.prompts import Demonstration, read_demonstrations
from rmlab.errors import InputError
from rmlab.models.compute import check_device
from rmlab.models.text.rendering import Exchange, template_hash
from rmlab.models.text.tokens import encode_all
from rmlab.models.weights import find_model
from rmlab.paths import user_path
from rmlab.pipeline.job import Job
from rmlab.pipeline.node import Node
from rmlab.pipeline.problems import Problems
from rmlab.sft import train as training
from rmlab.sft.attempt import packages
from rmlab.sft.checkpoints import as_os_error
from rmlab.sft.saving import save_policy
from rmlab.sft.task import Rows, SftTask, hold_out, training_precision
from rmlab.storage.schemas import TRAINING_LOG

_IGNORED = -100  # label of tokens without a loss: those of the prompt


def run(job: Job) -> None:
    s = job.settings
    base = find_model(s.model, s.revision, s.trust_remote_code)
    task = SftTask(
        base=base.folder(),
        work=job.writer.work,
        how=s.sft,
        seed=s.generation_seed,
        precision=training_precision(s.sft.precision, s.dtype, job.compute.torch_device()),
        saved="bfloat16" if s.dtype == "bfloat16" else "float32",
        device=job.compute.torch_device().type if s.device == "auto" else s.device,
        trust_remote_code=s.trust_remote_code,
    )
    tokenizer = job.compute.load_tokenizer(task.base)
    task.write_rows(*_rows(job, tokenizer))
    job.writer.metrics |= {
        "template_hash": template_hash(s.prompts.template, tokenizer),
        "precision": task.precision,
    }
    with as_os_error():
        log, warnings = training.train(task, job.progress)
        save_policy(task, base, tokenizer, job.writer.output("model"))
    job.writer.warnings.extend(warnings)
    _record(job, log)


def foresee(node: Node, problems: Problems) -> None:
    """Checks the packages and devices of the training."""
    s = node.settings
    with problems.caught():
        require("sft", *packages(s.sft))
    with problems.caught():
        check_device(s.device)
        training.check_devices(s.sft.devices, s.device)


def _rows(job: Job, tokenizer: Any) -> tuple[Rows, Rows]:
    """Tokenised demonstrations: those to train on, and those held out."""
    s = job.settings
    demonstrations = read_demonstrations(user_path(str(s.demonstrations.path)), s.demonstrations.n)
    parts = hold_out(demonstrations, s.sft.eval_fraction)
    rows, held_out = (_tokenised(job, part, tokenizer) for part in parts)
    dropped = len(demonstrations) - len(rows) - len(held_out)
    job.writer.add(
        {
            "demonstrations": len(rows),
            "demonstrations_held_out": len(held_out),
            "demonstrations_dropped": dropped,
        }
    )
    if dropped:
        job.writer.warnings.append(
            f"{dropped} demonstrations over sft.max_tokens={s.sft.max_tokens} were dropped"
        )
    if not rows:
        raise InputError(f"no demonstration fits sft.max_tokens={s.sft.max_tokens}; raise it")
    return rows, held_out


def _tokenised(job: Job, demonstrations: list[Demonstration], tokenizer: Any) -> Rows:
    """Prompt and completion as one sequence, with labels only for the completion and its end token."""
    template, limit = job.settings.prompts.template, job.settings.sft.max_tokens
    exchanges = [Exchange("", "", d.messages, d.completion) for d in demonstrations]
    rows = []
    for encoded in encode_all(exchanges, template, tokenizer, 10**9, closing=True):
        completion = encoded.response
        if tokenizer.eos_token_id is not None and tokenizer.eos_token_id not in completion:
            completion = [*completion, tokenizer.eos_token_id]
        labels = [_IGNORED] * len(encoded.prompt) + completion
        if len(labels) <= limit:
            rows.append({"input_ids": encoded.prompt + completion, "labels": labels})
    return rows


def _record(job: Job, log: list[dict[str, Any]]) -> None:
    """Writes the training log, and the first and last loss of each split into the manifest."""
    job.writer.table(TRAINING_LOG, pa.Table.from_pylist(log, schema=TRAINING_LOG.schema))
    for split, name in (("train", "loss"), ("validation", "eval_loss")):
        losses = [row["loss"] for row in log if row["split"] == split]
        if losses:
            job.writer.metrics[f"first_{name}"], job.writer.metrics[f"last_{name}"] = losses[0], losses[-1]
