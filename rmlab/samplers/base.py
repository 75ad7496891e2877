"""The protocols of samplers, which draw n responses for each prompt, and what they share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from rmlab.config.settings import Sampling, TemplateName
from rmlab.models.compute import Compute
from rmlab.models.text.rendering import Message, render, template_hash
from rmlab.models.text.tokens import cut_prompt, encode_prompt, response_text
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


class TokenSession:
    """The part that samplers which run a model share: prompts to tokens, and tokens to responses.

    ends: end token or end tokens of the model, or None; those of the tokenizer are added.
    """

    def __init__(self, tokenizer: Any, template: TemplateName, context: int, ends: Any) -> None:
        self.tokenizer, self.template, self.context = tokenizer, template, context
        self.template_hash = template_hash(template, tokenizer)
        ends = [*(ends if isinstance(ends, list) else [ends]), tokenizer.eos_token_id]
        self.end_tokens = {int(token) for token in ends if token is not None}

    def encode(self, messages: Sequence[Message]) -> list[int]:
        rendered = render(messages, "", self.template, self.tokenizer)
        return encode_prompt(rendered, self.template, self.tokenizer)

    def cut(self, tokens: list[int], limit: int) -> list[int]:
        return cut_prompt(tokens, limit, self.tokenizer)

    def text(self, tokens: list[int]) -> str:
        return response_text(tokens, self.tokenizer)

    def finished(self, tokens: list[int], stop: Sequence[str]) -> tuple[str, bool]:
        """Returns the text without its end, and True if an end token or a stop string ended it."""
        ended = tokens[-1] in self.end_tokens
        text = self.text(tokens[:-1] if ended else tokens)
        cut = cut_at_stop(text, stop)
        return (text, ended) if cut is None else (cut, True)


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
