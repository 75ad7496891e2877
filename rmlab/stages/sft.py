"""sft: demonstrations and a model -> a model folder that the sampler loads."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa

from rmlab.artifacts.schemas import TRAINING_LOG
from rmlab.data.demonstrations import Demonstration, read_demonstrations
from rmlab.errors import InputError, RmlabError
from rmlab.models import find_model
from rmlab.shipped import user_path
from rmlab.stages.base import Job
from rmlab.text import Exchange, encode, template_hash

_IGNORED = -100  # label of a token that is not learned: the prompt's


def run(job: Job) -> None:
    from transformers import AutoModelForCausalLM

    from rmlab.training import sft as training

    s = job.settings
    folder = find_model(s.model, s.revision, s.trust_remote_code).folder()
    tokenizer = job.compute.load_tokenizer(folder)
    model = job.compute.load_model(AutoModelForCausalLM, folder)
    demonstrations = read_demonstrations(user_path(s.demonstrations.path), s.demonstrations.n)
    rows = _tokenised(job, demonstrations, tokenizer)
    job.writer.metrics["template_hash"] = template_hash(s.prompts.template, tokenizer)
    model, log = training.train(
        model, tokenizer, rows, s.sft, s.generation_seed, job.writer.work, job.progress
    )
    _save(model, tokenizer, job.writer.path / "model")
    job.writer.table(TRAINING_LOG, pa.Table.from_pylist(log, schema=TRAINING_LOG.schema))
    if log:
        job.writer.metrics["first_loss"], job.writer.metrics["last_loss"] = log[0]["loss"], log[-1]["loss"]


def _tokenised(job: Job, demonstrations: list[Demonstration], tokenizer: Any) -> list[dict[str, list[int]]]:
    """Prompt and completion as one sequence; only the completion and its end are learned."""
    template, limit = job.settings.prompts.template, job.settings.sft.max_tokens
    rows = []
    for demonstration in demonstrations:
        exchange = Exchange("", "", demonstration.messages, demonstration.completion)
        encoded = encode(exchange, template, tokenizer, 10**9, closing=True)
        completion = encoded.response
        if tokenizer.eos_token_id is not None and tokenizer.eos_token_id not in completion:
            completion = [*completion, tokenizer.eos_token_id]
        labels = [_IGNORED] * len(encoded.prompt) + completion
        if len(labels) <= limit:
            rows.append({"input_ids": encoded.prompt + completion, "labels": labels})
    dropped = len(demonstrations) - len(rows)
    job.writer.add({"demonstrations": len(rows), "demonstrations_dropped": dropped})
    if dropped:
        job.writer.warnings.append(f"{dropped} demonstrations over sft.max_tokens={limit} were dropped")
    if not rows:
        raise InputError(f"no demonstration fits sft.max_tokens={limit}; raise it")
    return rows


def _save(model: Any, tokenizer: Any, target: Path) -> None:
    """Writes beside its place, then renames."""
    temporary = target.with_name(".model.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    if not (target / "config.json").is_file():
        raise RmlabError(f"{target}: the trained model was not saved")
