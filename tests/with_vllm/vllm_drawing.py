"""Prompts, settings and references that the tests with vLLM share."""

from __future__ import annotations

from typing import Any

import torch

from rmlab.config.settings import Sampling
from rmlab.samplers.base import OpenSampler, Sample, SamplingTask

OPENINGS = (
    "Once upon a time",
    "The capital of France is",
    "I loved this film because",
    "In 1969, the first man",
    "To bake bread, you need",
    "The quick brown fox",
    "My favourite season is",
    "A good teacher",
    "Water boils at",
    "The old house at the end of the street",
)


def settings(**changes: Any) -> Sampling:
    base = dict(n_train=1, n_test=1, temperature=1.0, top_p=0.95, max_new_tokens=24, stop=[])
    return Sampling(**{**base, "max_prompt_tokens": None, "long_prompts": "drop", **changes})


def draw(
    session: OpenSampler, n: int = 1, texts: tuple[str, ...] = OPENINGS, seed: int = 0, **changes: Any
) -> list[list[Sample]]:
    messages = [[{"role": "user", "content": text}] for text in texts]
    tasks = [SamplingTask(f"p{i}", m, session.encode(m), n) for i, m in enumerate(messages)]
    return session.generate(tasks, settings(**changes), seed, lambda tokens: None)


def greedy_tokens(model: Any, prompt: list[int], n: int) -> list[int]:
    out = model.generate(torch.tensor([prompt]), max_new_tokens=n, do_sample=False)
    return out[0, len(prompt) :].tolist()


def summed_logprob(model: Any, prompt: list[int], tokens: list[int]) -> float:
    """Of the tokens after the prompt, in one pass of transformers over both."""
    with torch.inference_mode():
        logits = model(torch.tensor([prompt + tokens])).logits[0, len(prompt) - 1 : -1].float()
    return float(torch.log_softmax(logits, -1)[range(len(tokens)), tokens].sum())
