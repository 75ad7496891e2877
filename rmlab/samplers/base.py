"""A sampler draws n responses for each prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from rmlab.config.settings import Sampling, TemplateName
from rmlab.models.compute import Compute
from rmlab.models.text.rendering import Message
from rmlab.storage.digest import digest


@dataclass(frozen=True)
class SamplingTask:
    """A prompt to answer n times; tokens may have been cut, messages never are."""

    prompt_id: str
    messages: list[Message]
    tokens: list[int]
    n: int


@dataclass(frozen=True)
class Sample:
    """finish_reason: stop or length (imported for texts from a file); logprob: untempered, summed;
    near_ties: tokens that rounding could have chosen otherwise."""

    text: str
    n_tokens: int
    finish_reason: str
    logprob: float
    response_id: str | None = None
    near_ties: int = 0


Tick = Callable[[int], None]  # told the number of tokens just generated


class OpenSampler(Protocol):
    context: int  # longest prompt and response together, in tokens
    template_hash: str

    def encode(self, messages: Sequence[Message]) -> list[int]: ...

    def cut(self, tokens: list[int], limit: int) -> list[int]:
        """The end of a prompt that is too long."""
        ...

    def generate(
        self, tasks: Sequence[SamplingTask], params: Sampling, seed: int, tick: Tick
    ) -> list[list[Sample]]: ...


class Sampler(Protocol):
    needs_model: bool

    def open(self, folder: Path | None, template: TemplateName, compute: Compute) -> OpenSampler: ...


def sample_rng(seed: int, prompt_id: str, index: int) -> np.random.Generator:
    """The random stream of one sample: the same in any batch, shard or order."""
    key = int(digest([seed, "sample", prompt_id, index])[:32], 16)
    return np.random.Generator(np.random.Philox(key=key))


def cut_at_stop(text: str, stop: Sequence[str]) -> str | None:
    """The text before the first stop string, or None where there is none."""
    found = [text.index(s) for s in stop if s in text]
    return text[: min(found)] if found else None
