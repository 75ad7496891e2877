"""Sampling and embedding beside what one would write with transformers alone: same model, texts and settings.

    python scripts/bench/pipeline.py [--quick]

Prints the rates of both sides; the last line is one JSON object of ratios (our rate over theirs).
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "20000")

import torch
from transformers import AutoModel, AutoModelForCausalLM

from rmlab.compute import Compute
from rmlab.data.prompts import read_prompts
from rmlab.embedders.transformers import TransformersEmbedder
from rmlab.models import find_model
from rmlab.samplers.base import Task
from rmlab.samplers.transformers import TransformersSampler
from rmlab.settings import Sampling
from rmlab.shipped import user_path
from rmlab.text import Exchange

MODEL = "smollm2-135m-q4"


def timed(work: Callable[[], int]) -> tuple[float, int]:
    started = time.perf_counter()
    amount = work()
    return time.perf_counter() - started, amount


def generate_with_transformers(model: Any, tokenizer: Any, texts: list[str], n: int, params: Sampling) -> int:
    """One call a batch of prompts, as TRL users write it; returns the tokens up to the end tokens."""
    tokenizer.padding_side = "left"
    batch = tokenizer(texts, return_tensors="pt", padding=True)
    torch.manual_seed(0)
    out = model.generate(
        **batch,
        do_sample=True,
        temperature=params.temperature,
        top_p=params.top_p,
        top_k=0,
        max_new_tokens=params.max_new_tokens,
        num_return_sequences=n,
    )
    new = out[:, batch["input_ids"].shape[1] :]
    ended = (new == tokenizer.eos_token_id).cumsum(dim=1)
    return int((ended - (new == tokenizer.eos_token_id).long() == 0).sum())


def embed_padded(model: Any, tokenizer: Any, pairs: list[tuple[str, str]], batch: int) -> int:
    """Prompt and response in one padded batch, mean over the response by the mask."""
    tokenizer.padding_side = "right"
    total = 0
    for start in range(0, len(pairs), batch):
        chunk = pairs[start : start + batch]
        rows = tokenizer([p + r for p, r in chunk], return_tensors="pt", padding=True)
        before = torch.tensor([len(tokenizer(p)["input_ids"]) for p, _ in chunk])
        with torch.inference_mode():
            states = model(**rows).last_hidden_state
        after = torch.arange(states.shape[1])[None, :] >= before[:, None]
        mask = (rows["attention_mask"].bool() & after)[:, :, None]
        (states * mask).sum(dim=1).div(mask.sum(dim=1))
        total += int(mask.sum())
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="8 prompts instead of 32, on both sides")
    n_prompts, n = (8 if parser.parse_args().quick else 32), 16
    folder = find_model(MODEL).folder()
    prompts = read_prompts(user_path("shipped:prompts/openings.jsonl"), 0.2)[:n_prompts]
    texts = [p.messages[0]["content"] for p in prompts]
    params = Sampling(
        n_train=n, n_test=n, temperature=1.0, top_p=0.95, max_new_tokens=24, stop=[],
        max_prompt_tokens=None, long_prompts="drop",
    )  # fmt: skip
    sampler = TransformersSampler(batch_size=128).open(folder, "plain", Compute())
    model = Compute().load_model(AutoModelForCausalLM, folder)
    tokenizer = Compute().load_tokenizer(folder)
    tasks = [Task(p.prompt_id, p.messages, sampler.encode(p.messages), n) for p in prompts]
    made: list[Any] = []

    def ours() -> int:
        made.extend(sampler.generate(tasks, params, 0, lambda tokens: None))
        return sum(s.n_tokens for samples in made for s in samples)

    def theirs() -> int:
        groups = [texts[i : i + 128 // n] for i in range(0, len(texts), 128 // n)]
        return sum(generate_with_transformers(model, tokenizer, g, n, params) for g in groups)

    rates = {"sample": (timed(theirs), timed(ours))}

    exchanges = [
        Exchange(t.prompt_id, f"{t.prompt_id}-{k}", t.messages, s.text)
        for t, samples in zip(tasks, made, strict=True)
        for k, s in enumerate(samples)
    ]
    pairs = [(e.messages[0]["content"], e.response) for e in exchanges]
    embedder = TransformersEmbedder().open(MODEL, "plain", Compute())
    base = Compute().load_model(AutoModel, folder)
    rates["embed"] = (
        timed(lambda: embed_padded(base, tokenizer, pairs, 64)),
        timed(lambda: int(embedder.embed(exchanges, lambda rows, tokens: None).n_tokens.sum())),
    )
    ratios = {}
    for work, ((their_time, their_tokens), (our_time, our_tokens)) in rates.items():
        their_rate, our_rate = their_tokens / their_time, our_tokens / our_time
        print(f"{work}: transformers {their_rate:,.0f} tokens/s, rmlab {our_rate:,.0f} tokens/s")
        ratios[work] = round(our_rate / their_rate, 2)
    print(json.dumps(ratios))


if __name__ == "__main__":
    main()
