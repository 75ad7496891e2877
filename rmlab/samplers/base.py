"""The protocols of samplers, which draw n responses for each prompt, and what they share."""

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
    """A prompt to answer n times; tokens may be cut to fit, messages never are."""

    prompt_id: str
    messages: list[Message]
    tokens: list[int]
    n: int


@dataclass(frozen=True)
class Sample:
    """A response. finish_reason: stop or length, or imported for texts from a file.

    logprob: the sum over tokens at temperature 1; near_ties: the number of tokens whose choice rounding could
    have changed.
    """

    text: str
    n_tokens: int
    finish_reason: str
    logprob: float
    response_id: str | None = None
    near_ties: int = 0


Tick = Callable[[int], None]  # called with the number of tokens just generated


class OpenSampler(Protocol):
    """A sampler whose model or file is loaded."""

    context: int  # longest prompt and response together, in tokens
    template_hash: str

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """Returns the tokens of a prompt."""
        ...

    def cut(self, tokens: list[int], limit: int) -> list[int]:
        """Returns the end of a prompt that is too long."""
        ...

    def generate(
        self, tasks: Sequence[SamplingTask], params: Sampling, seed: int, tick: Tick
    ) -> list[list[Sample]]:
        """Returns the samples of each task."""
        ...


class Sampler(Protocol):
    """The settings of a sampler."""

    needs_model: bool

    def open(self, folder: Path | None, template: TemplateName, compute: Compute) -> OpenSampler:
        """Loads what is needed. folder: of the model, if needs_model."""
        ...


def sample_rng(seed: int, prompt_id: str, index: int) -> np.random.Generator:
    """Returns the random generator of one sample, the same in any batch, shard or order."""
    key = int(digest([seed, "sample", prompt_id, index])[:32], 16)
    return np.random.Generator(np.random.Philox(key=key))


def cut_at_stop(text: str, stop: Sequence[str]) -> str | None:
    """Returns the text before the first stop string, or None without one."""
    found = [text.index(s) for s in stop if s in text]
    return text[: min(found)] if found else None
