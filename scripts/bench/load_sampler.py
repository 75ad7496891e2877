"""Short random texts, quicker to make than those of `sampler=dummy`: the responses of the load benchmark."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rmlab.config.settings import Sampling, TemplateName
from rmlab.models.compute import Compute
from rmlab.models.text.rendering import Message
from rmlab.samplers.base import OpenSampler, Sample, SamplingTask, Tick

_SYLLABLES = ["ba", "ko", "mi", "tu", "re", "sa", "lo", "ne"]
_WORDS = [a + b + c for a in _SYLLABLES for b in _SYLLABLES for c in _SYLLABLES]
_SHORTEST, _LONGEST = 3, 12  # words


@dataclass(frozen=True)
class ShortTexts:
    needs_model = False

    def open(self, folder: Path | None, template: TemplateName, compute: Compute) -> OpenSampler:
        return _Session()


class _Session:
    context = 10**6
    template_hash = "load"

    def encode(self, messages: Sequence[Message]) -> list[int]:
        return [0]

    def cut(self, tokens: list[int], limit: int) -> list[int]:
        return tokens[-limit:]

    def generate(
        self, tasks: Sequence[SamplingTask], params: Sampling, seed: int, tick: Tick
    ) -> list[list[Sample]]:
        return [_samples(np.random.default_rng([seed, zlib.crc32(t.prompt_id.encode())]), t.n) for t in tasks]


def _samples(rng: np.random.Generator, n: int) -> list[Sample]:
    length = rng.integers(_SHORTEST, _LONGEST + 1, n)
    words = [_WORDS[k] for k in rng.integers(0, len(_WORDS), length.sum())]
    ends = np.cumsum(length)
    texts = [" ".join(words[end - size : end]) for end, size in zip(ends, length, strict=True)]
    return [Sample(text, int(k), "stop", 0.0) for text, k in zip(texts, length, strict=True)]
