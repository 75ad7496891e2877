"""A sampler of random words, which ignores the policy, for smoke runs and tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from rmlab.config.settings import Sampling, TemplateName
from rmlab.models.compute import Compute
from rmlab.models.text.rendering import Message
from rmlab.samplers.base import OpenSampler, Sample, SamplingTask, Tick, cut_at_stop, sample_rng

_WORDS = [
    "a", "the", "and", "but", "then", "bright", "dark", "slow", "quick", "kind", "cruel", "warm", "cold",
    "glad", "sorry", "good", "bad", "fine", "poor", "river", "road", "window", "letter", "garden", "engine",
    "morning", "winter", "friend", "stranger", "found", "lost", "kept", "broke",
]  # fmt: skip


@dataclass(frozen=True)
class DummySampler:
    """Draws random words; the model is looked up but not loaded."""

    name: ClassVar[str] = "dummy"
    needs_model = True

    def open(self, folder: Path | None, template: TemplateName, compute: Compute) -> OpenSampler:
        return _DummySession()


class _DummySession:
    """The opened sampler."""

    context = 10**6
    template_hash = "dummy"

    def encode(self, messages: Sequence[Message]) -> list[int]:
        return [len(word) for m in messages for word in m["content"].split()]

    def cut(self, tokens: list[int], limit: int) -> list[int]:
        return tokens[-limit:]

    def generate(
        self, tasks: Sequence[SamplingTask], params: Sampling, seed: int, tick: Tick
    ) -> list[list[Sample]]:
        samples = []
        for task in tasks:
            rows = [_sample(sample_rng(seed, task.prompt_id, k), params) for k in range(task.n)]
            tick(sum(row.n_tokens for row in rows))
            samples.append(rows)
        return samples


def _sample(rng: np.random.Generator, params: Sampling) -> Sample:
    """Draws a response of up to max_new_tokens words."""
    n = int(rng.integers(1, params.max_new_tokens + 1))
    text = " " + " ".join(rng.choice(_WORDS, size=n))
    cut = cut_at_stop(text, params.stop)
    reason = "length" if n == params.max_new_tokens and cut is None else "stop"
    return Sample(text if cut is None else cut, n, reason, -n * float(np.log(len(_WORDS))))
