"""Embeddings without a model, by signed hashes of the response's words, for smoke runs and tests."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rmlab.config.settings import TemplateName
from rmlab.embedders.base import Embedded, OpenEmbedder, Tick
from rmlab.models.compute import Compute
from rmlab.models.text.rendering import Exchange


@dataclass(frozen=True)
class HashingEmbedder:
    """Adds ±1 for each word at a position that depends on its hash."""

    name: ClassVar[str] = "hashing"
    dimension: int = 64
    storage: str = "float32"

    def open(self, model: str, template: TemplateName, compute: Compute) -> OpenEmbedder:
        return _HashingSession(self.dimension)


class _HashingSession:
    """The opened embedder."""

    template_hash = "hashing"

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension

    def embed(self, exchanges: Sequence[Exchange], tick: Tick) -> Embedded:
        vectors = np.zeros((len(exchanges), self.dimension), dtype=np.float32)
        counts = np.zeros(len(exchanges), dtype=np.int32)
        for i, exchange in enumerate(exchanges):
            words = exchange.response.split()
            counts[i] = len(words)
            for word in words:
                code = zlib.crc32(word.encode())
                vectors[i, code % self.dimension] += 1.0 if code >> 31 else -1.0
        tick(len(exchanges), int(counts.sum()))
        return Embedded(vectors, counts, np.zeros(len(exchanges), dtype=bool))
