"""The stage sample draws n responses to each prompt from a policy, shard by shard of prompts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

import pyarrow as pa

from rmlab.errors import InputError
from rmlab.models.weights import (
    BASE_RECORD,
    Model,
    base_folder,
    check_available,
    find_model,
    is_adapter,
)
from rmlab.pipeline.foresee import foresee_component
from rmlab.pipeline.job import Counts, Job, Made, Shards
from rmlab.pipeline.node import Node
from rmlab.pipeline.problems import Problems
from rmlab.pipeline.shards import map_shards
from rmlab.samplers.base import OpenSampler, Sample, SamplingTask
from rmlab.storage.artifact import Artifact
from rmlab.storage.digest import row_id
from rmlab.storage.schemas import RESPONSES
from rmlab.storage.table_schema import Row


def run(job: Job) -> None:
    job.progress.start(job.inputs["prompts"].manifest.rows, "prompts")
    map_shards([job], shards)
    if not job.writer.counts.get("responses"):
        raise InputError("no prompt fits the context; raise sampling.max_prompt_tokens or cut long prompts")
    _warn_of_lost_prompts(job)
    _warn_of_odd_responses(job)


def foresee(node: Node, problems: Problems) -> None:
    """Checks what the sampler needs, and the base of a policy that is an adapter."""
    s = node.settings
    foresee_component(s.sampler, "sampler", s, problems)
    if "sft" in node.inputs and s.sft.output == "adapter":
        with problems.caught():
            check_available(s.model)


def shards(jobs: Sequence[Job]) -> Shards[list[Row]]:
    """Part k holds the responses to the k-th slice of prompts, which stay in Arrow until they are read."""
    [job] = jobs
    prompts = job.inputs["prompts"].read(columns=["prompt_id", "split", "group", "messages"])
    size = job.writer.shard_size(job.settings.prompts_per_shard)
    sampler = job.build(job.settings.sampler, "sampler")
    # fetched, converted and checked once, before worker processes start
    folder = policy_folder(job) if sampler.needs_model else None
    opened = cache(partial(sampler.open, folder, job.settings.prompts.template, job.compute))
    return Shards(
        rows=[min(size, prompts.num_rows - start) for start in range(0, prompts.num_rows, size)],
        read=lambda part: prompts.slice(part * size, size).to_pylist(),
        compute=lambda rows, _: [_sample_shard(job, rows, opened())],
        gpus=getattr(sampler, "tensor_parallel_size", 1),
    )


def _sample_shard(job: Job, prompts: list[Row], sampler: OpenSampler) -> Made:
    tasks, counts = _tasks(job, prompts, sampler)
    answers = sampler.generate(
        tasks,
        job.settings.sampling,
        job.settings.generation_seed,
        lambda tokens: job.progress.advance(0, tokens),
    )
    table = _table(job.fingerprint, tasks, answers, {p["prompt_id"]: p for p in prompts})
    counts |= _response_counts(table)
    counts["near_ties"] = sum(sample.near_ties for samples in answers for sample in samples)
    job.progress.advance(len(prompts))
    return Made(table, counts, {"template_hash": sampler.template_hash})


def _tasks(job: Job, prompts: list[Row], sampler: OpenSampler) -> tuple[list[SamplingTask], Counts]:
    """Tokenises prompts; those over the limit are dropped or cut from the left, and counted."""
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
            SamplingTask(
                prompt["prompt_id"], prompt["messages"], sampler.cut(tokens, limit), n[prompt["split"]]
            )
        )
    return tasks, {"prompts_dropped": dropped, "prompts_cut": cut}


def _table(
    fingerprint: str,
    tasks: Sequence[SamplingTask],
    answers: Sequence[Sequence[Sample]],
    prompts: dict[str, Row],
) -> pa.Table:
    drawn = [
        (task.prompt_id, index, sample)
        for task, samples in zip(tasks, answers, strict=True)
        for index, sample in enumerate(samples)
    ]
    samples = [sample for _, _, sample in drawn]
    columns = {
        "prompt_id": [prompt_id for prompt_id, _, _ in drawn],
        "response_id": [s.response_id or row_id(fingerprint, prompt_id, k) for prompt_id, k, s in drawn],
        "split": [prompts[prompt_id]["split"] for prompt_id, _, _ in drawn],
        "group": [prompts[prompt_id]["group"] for prompt_id, _, _ in drawn],
        "sample_index": [index for _, index, _ in drawn],
        "text": [s.text for s in samples],
        "n_tokens": [s.n_tokens for s in samples],
        "finish_reason": [s.finish_reason for s in samples],
        "logprob": [s.logprob for s in samples],
    }
    return pa.table(columns, schema=RESPONSES.schema)


def _response_counts(responses: pa.Table) -> Counts:
    n_tokens = responses["n_tokens"].to_numpy()
    return {
        "responses": responses.num_rows,
        "tokens": int(n_tokens.clip(min=0).sum()),
        "cut_at_max_new_tokens": responses["finish_reason"].to_pylist().count("length"),
        "empty_responses": sum(not text.strip() for text in responses["text"].to_pylist()),
    }


def policy_folder(job: Job) -> Path:
    """The folder of the policy: the fine-tuned model if there was SFT, or else the experiment's model."""
    if "sft" in job.inputs:
        return _trained(job.inputs["sft"])
    s = job.settings
    return find_model(s.model, s.revision, s.trust_remote_code).folder()


def _trained(sft: Artifact) -> Path:
    folder = sft.path / "model"
    if is_adapter(folder):
        _check_base(folder)
    return folder


def _check_base(folder: Path) -> None:
    """Raises an InputError if the base model of an adapter is not the one that it was trained on."""
    record = json.loads((folder / BASE_RECORD).read_text(encoding="utf-8"))
    base = Model(record["name"], record["identity"])
    if not base.identity.startswith("folder:"):
        base.folder()  # checks it
        return
    place = base_folder(folder)
    if find_model(str(place)).identity != base.identity:
        raise InputError(
            f"{place} has changed since {folder.parent.name} was trained on it; restore it, "
            "or train again: `rmlab sft`"
        )


def _warn_of_lost_prompts(job: Job) -> None:
    for what in ("dropped", "cut"):
        if n := job.writer.counts.get(f"prompts_{what}"):
            job.writer.warnings.append(f"{n} prompts over the limit of tokens were {what}")


def _warn_of_odd_responses(job: Job) -> None:
    counts, longest = job.writer.counts, job.settings.sampling.max_new_tokens
    n = counts["responses"]
    if (cut := counts["cut_at_max_new_tokens"]) > n / 2:
        job.writer.warnings.append(
            f"{cut} of {n} responses were cut at sampling.max_new_tokens={longest}; "
            "raise it if they are meant to come to an end"
        )
    if (empty := counts["empty_responses"]) > n / 2:
        job.writer.warnings.append(
            f"{empty} of {n} responses are empty: the model ends at once; "
            "look at its template (prompts.template) and at sampling.stop"
        )
