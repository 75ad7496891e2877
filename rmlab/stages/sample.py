"""sample: prompts and a policy -> n responses a prompt, shard by shard of prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from rmlab.artifacts.fingerprint import row_id
from rmlab.artifacts.schemas import RESPONSES
from rmlab.errors import InputError
from rmlab.models import find_model
from rmlab.samplers.base import OpenSampler, Sample, Task
from rmlab.stages.base import Counts, Job, Shard, map_shards

Row = dict[str, Any]


def run(job: Job) -> None:
    prompts = job.inputs["prompts"].read().to_pylist()
    size = job.writer.shard_size(job.settings.prompts_per_shard)
    opened = cache(partial(_open, job))
    job.progress.start(len(prompts), "prompts")
    map_shards(job, _shards(job, prompts, size, opened))
    if not job.writer.counts.get("responses"):
        raise InputError("no prompt fits the context; raise sampling.max_prompt_tokens or cut long prompts")
    _warn_of_lost_prompts(job)


def _open(job: Job) -> OpenSampler:
    sampler = job.build(job.settings.sampler, "sampler")
    return sampler.open(_policy_folder(job, sampler.needs_model), job.settings.prompts.template, job.compute)


def _policy_folder(job: Job, needs_model: bool) -> Path | None:
    if not needs_model:
        return None
    if "sft" in job.inputs:
        return job.inputs["sft"].path / "model"
    s = job.settings
    return find_model(s.model, s.revision, s.trust_remote_code).folder()


def _shards(
    job: Job, prompts: list[Row], size: int, opened: Callable[[], OpenSampler]
) -> Iterator[tuple[int, Shard]]:
    for start in range(0, len(prompts), size):
        rows = prompts[start : start + size]
        yield len(rows), partial(_sample_shard, job, rows, opened)


def _sample_shard(job: Job, prompts: list[Row], opened: Callable[[], OpenSampler]) -> tuple[pa.Table, Counts]:
    sampler, params = opened(), job.settings.sampling
    job.writer.metrics["template_hash"] = sampler.template_hash
    tasks, counts = _tasks(job, prompts, sampler)
    answers = sampler.generate(
        tasks, params, job.settings.generation_seed, lambda tokens: job.progress.advance(0, tokens)
    )
    split = {p["prompt_id"]: p["split"] for p in prompts}
    rows = [
        _row(job, task.prompt_id, split[task.prompt_id], index, sample)
        for task, samples in zip(tasks, answers, strict=True)
        for index, sample in enumerate(samples)
    ]
    job.progress.advance(len(prompts))
    return pa.Table.from_pylist(rows, schema=RESPONSES.schema), {**counts, **_response_counts(rows)}


def _tasks(job: Job, prompts: list[Row], sampler: OpenSampler) -> tuple[list[Task], Counts]:
    """Prompts as tokens; those over the limit are dropped or cut from the left, and counted."""
    params = job.settings.sampling
    limit = min(params.max_prompt_tokens or sampler.context, sampler.context - params.max_new_tokens)
    if limit < 1:
        raise InputError(
            f"sampling.max_new_tokens={params.max_new_tokens} leaves no room for a prompt: "
            f"the model's context is {sampler.context}"
        )
    n = {"train": params.n_train, "test": params.n_test}
    tasks, dropped, cut = [], 0, 0
    for prompt in prompts:
        tokens = sampler.encode(prompt["messages"])
        if len(tokens) > limit and params.long_prompts == "drop":
            dropped += 1
            continue
        cut += len(tokens) > limit
        tasks.append(
            Task(prompt["prompt_id"], prompt["messages"], sampler.cut(tokens, limit), n[prompt["split"]])
        )
    return tasks, {"prompts_dropped": dropped, "prompts_cut": cut}


def _row(job: Job, prompt_id: str, split: str, index: int, sample: Sample) -> Row:
    return {
        "prompt_id": prompt_id,
        "response_id": sample.response_id or row_id(job.fingerprint, prompt_id, index),
        "split": split,
        "sample_index": index,
        "text": sample.text,
        "n_tokens": sample.n_tokens,
        "finish_reason": sample.finish_reason,
        "logprob": sample.logprob,
    }


def _response_counts(rows: list[Row]) -> Counts:
    return {
        "responses": len(rows),
        "tokens": sum(max(0, r["n_tokens"]) for r in rows),
        "cut_at_max_new_tokens": sum(r["finish_reason"] == "length" for r in rows),
        "empty_responses": sum(not r["text"].strip() for r in rows),
    }


def _warn_of_lost_prompts(job: Job) -> None:
    for what in ("dropped", "cut"):
        if n := job.writer.counts.get(f"prompts_{what}"):
            job.writer.warnings.append(f"{n} prompts over the limit of tokens were {what}")
