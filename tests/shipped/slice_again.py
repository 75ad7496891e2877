"""Makes a slice of an embedding set again, from its record alone, and says where it differs."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow.parquet as pq

from rmlab.config.components import as_component, build
from rmlab.config.settings import Sampling
from rmlab.models.compute import Compute
from rmlab.models.text.rendering import Exchange
from rmlab.models.weights import find_model
from rmlab.samplers.base import SamplingTask
from rmlab.storage.set_record import (
    PROMPTS_FILE,
    EmbeddingSet,
    SetPolicy,
    embeddings_file,
    responses_file,
    scales_file,
    scores_file,
)


@dataclass
class Compared:
    """texts, scores, vectors: how many were compared; near_ties: texts that differ after a counted near tie;
    wrong: every other difference, in words."""

    texts: int = 0
    scores: int = 0
    vectors: int = 0
    near_ties: int = 0
    wrong: list[str] = field(default_factory=list)


def untuned(opened: EmbeddingSet) -> list[SetPolicy]:
    """Policies that need no SFT to be made again."""
    return [policy for policy in opened.record.policies if "sft" not in policy.made_by]


def compare(opened: EmbeddingSet, policy: SetPolicy, n_prompts: int, n_samples: int) -> Compared:
    found = Compared()
    prompts = pq.read_table(opened.folder / PROMPTS_FILE).to_pylist()
    chosen = [*prompts[: n_prompts // 2], *prompts[-(n_prompts - n_prompts // 2) :]]
    messages = {p["prompt_id"]: p["messages"] for p in chosen}
    rows = pq.read_table(opened.folder / responses_file(policy.name)).to_pylist()
    rows = [r for r in rows if r["prompt_id"] in messages and r["sample_index"] < n_samples]
    _texts(policy, messages, rows, n_samples, found)
    exchanges = [
        Exchange(r["prompt_id"], r["response_id"], messages[r["prompt_id"]], r["text"]) for r in rows
    ]
    _scores(opened, policy.name, exchanges, found)
    _vectors(opened, policy.name, exchanges, found)
    return found


def _texts(policy, messages, rows, n_samples, found):
    config, sources = policy.made_by["sample"]["config"], policy.made_by["sample"]["sources"]
    sampler = build(as_component(config["sampler"], "sampler"))
    folder = find_model(sources["model"]["name"]).folder() if sampler.needs_model else None
    session = sampler.open(folder, config["template"], Compute(config["dtype"], "cpu"))
    tasks = [SamplingTask(p, m, session.encode(m), n_samples) for p, m in messages.items()]
    params = Sampling(**config["sampling"])
    drawn = session.generate(tasks, params, config["generation_seed"], lambda tokens: None)
    again = {(t.prompt_id, k): s for t, samples in zip(tasks, drawn) for k, s in enumerate(samples)}
    for row in rows:
        sample = again[row["prompt_id"], row["sample_index"]]
        found.texts += 1
        if sample.text == row["text"] and sample.n_tokens == row["n_tokens"]:
            continue
        if sample.near_ties:
            found.near_ties += 1
        else:
            found.wrong.append(f"{row['response_id']}: {sample.text!r} instead of {row['text']!r}")


def _scores(opened, policy, exchanges, found):
    table = pq.read_table(opened.folder / scores_file(policy)).to_pylist()
    known = {(r["response_id"], r["reward"]): r["score"] for r in table}
    for reward in opened.record.rewards:
        scores = build(as_component(reward.made_by["config"]["golden"], "golden")).open(Compute())(exchanges)
        for exchange, score in zip(exchanges, scores):
            found.scores += 1
            if not np.isclose(score, known[exchange.response_id, reward.name], rtol=0, atol=1e-9):
                found.wrong.append(f"{exchange.response_id}: {reward.name} is {score}")


def _vectors(opened, policy, exchanges, found):
    """Within the step of 8 bits: half of it is the rounding, and a hundredth what batches may change."""
    for embedder in opened.record.embedders:
        made = embedder.made_by
        model = made["sources"].get("model", {}).get("name", "")
        config = made["config"]["embedder"] | ({"model": model} if model else {})
        session = build(as_component(config, "embedder")).open(
            model, made["config"]["template"], Compute(made["config"]["dtype"], "cpu")
        )
        x = session.embed(exchanges, lambda rows, tokens: None).vectors
        table = pq.read_table(opened.folder / embeddings_file(policy, embedder.name))
        q = dict(zip(table["response_id"].to_pylist(), table["embedding"].to_pylist()))
        scale = pq.read_table(opened.folder / scales_file(policy, embedder.name))["scale"].to_numpy()
        stored = np.array([q[e.response_id] for e in exchanges]) * scale
        found.vectors += len(exchanges)
        for exchange, far in zip(exchanges, (np.abs(x - stored) / scale).max(axis=1)):
            if far > 0.51:
                found.wrong.append(f"{exchange.response_id}: {embedder.name} is {far:.2f} steps off")
