"""The other side: what one writes with transformers alone; and the machine's own rate."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor

from rmlab.config.settings import Sampling

_SHAPES = ((576, 576), (576, 192), (576, 192), (576, 576), (576, 1536), (576, 1536), (1536, 576))


def product_gflops(rows: int, dtype: torch.dtype = torch.float32) -> float:
    """The best of five passes over the matrix products of one SmolLM2-135M layer."""
    weights = [torch.randn(o, i).to(dtype) for i, o in _SHAPES]
    inputs = {i: torch.randn(rows, i).to(dtype) for i, _ in _SHAPES}
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        for weight in weights:
            torch.nn.functional.linear(inputs[weight.shape[1]], weight)
        best = min(best, time.perf_counter() - started)
    return sum(2 * rows * i * o for i, o in _SHAPES) / best / 1e9


def generate(model: Any, tokens: list[int], n: int, params: Sampling, ends: set[int]) -> int:
    """One prompt's samples in one call; returns the tokens up to the end tokens."""
    torch.manual_seed(0)
    out = model.generate(
        torch.tensor([tokens]),
        attention_mask=torch.ones(1, len(tokens), dtype=torch.long),
        do_sample=True,
        temperature=params.temperature,
        top_p=params.top_p,
        top_k=0,
        max_new_tokens=params.max_new_tokens,
        num_return_sequences=n,
    )
    total = 0
    for row in out[:, len(tokens) :].tolist():
        stop = next((k + 1 for k, t in enumerate(row) if t in ends), len(row))
        total += stop
    return total


def embed_padded(model: Any, tokenizer: Any, texts: list[str], length: int, batch: int) -> Tensor:
    """Every text padded to one length, the mean over its tokens."""
    found = []
    for start in range(0, len(texts), batch):
        rows = tokenizer(
            texts[start : start + batch],
            return_tensors="pt",
            padding="max_length",
            max_length=length,
            truncation=True,
        )
        with torch.inference_mode():
            states = model(**rows).last_hidden_state
        mask = rows["attention_mask"][:, :, None]
        found.append((states * mask).sum(dim=1) / mask.sum(dim=1))
    return torch.cat(found)


def classify(pipe: Any, texts: list[str], batch: int) -> list[float]:
    """pipeline("text-classification") as its documentation has it; function_to_apply none: the logit."""
    found = pipe(texts, batch_size=batch, function_to_apply="none", truncation=True)
    return [row["score"] for row in found]
