"""Sizes of the benchmark of generation; both sides work on the same."""

from __future__ import annotations

from typing import NamedTuple


class Sizes(NamedTuple):
    prompts: int  # of each sampling work
    samples: int  # a prompt; a batch is one prompt's samples, on both sides
    prompt_tokens: int
    new_tokens: int
    long_prompt_tokens: int
    long_samples: int
    long_new_tokens: int
    texts: int  # to embed
    text_tokens: tuple[int, int]  # shortest and longest, evenly spread in the logarithm
    annotated: tuple[int, int]  # prompts, of prompt_tokens, and responses a prompt
    response_tokens: tuple[int, int]  # shortest and longest of these responses, spread in the same way
    batch: int  # texts a batch of the other side's embedding and annotation, which also has batches of one


FULL = Sizes(
    prompts=2,
    samples=100,
    prompt_tokens=64,
    new_tokens=48,
    long_prompt_tokens=400,
    long_samples=100,
    long_new_tokens=48,
    texts=2000,
    text_tokens=(8, 256),
    annotated=(30, 10),
    response_tokens=(8, 128),
    batch=32,
)
QUICK = Sizes(
    prompts=1,
    samples=12,
    prompt_tokens=64,
    new_tokens=8,
    long_prompt_tokens=400,
    long_samples=6,
    long_new_tokens=2,
    texts=10,
    text_tokens=(8, 128),
    annotated=(2, 6),
    response_tokens=(8, 64),
    batch=8,
)
