"""Embeddings by a transformers model: mean or last of the response's tokens, at any layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from rmlab.compute import Compute
from rmlab.embedders.base import Embedded, OpenEmbedder, Tick
from rmlab.errors import ConfigError
from rmlab.models import find_model
from rmlab.settings import TemplateName
from rmlab.text import Encoded, Exchange, context_length, encode, template_hash


@dataclass(frozen=True)
class TransformersEmbedder:
    """model null: the policy's base model; layer: 0 is the input embeddings, -1 the last."""

    model: str | None = field(default=None, metadata={"model": True})
    revision: str | None = None
    template: TemplateName | None = None
    layer: int = -1
    pooling: Literal["mean", "last"] = "mean"
    max_tokens: int | None = None
    storage: Literal["float32", "float16"] = "float32"
    batch_size: int = field(default=64, metadata={"runtime": True})

    def open(self, model: str, template: TemplateName, compute: Compute) -> OpenEmbedder:
        from transformers import AutoModel

        found = find_model(
            self.model or model,
            self.revision if self.model else compute.revision,
            compute.trust_remote_code,
        )
        folder = found.folder()
        tokenizer = compute.load_tokenizer(folder)
        network = compute.load_model(AutoModel, folder)
        depth = network.config.num_hidden_layers
        if not -depth - 1 <= self.layer <= depth:
            raise ConfigError(f"embedder.layer={self.layer}: {found.name} has layers 0 to {depth}")
        return _Session(network, tokenizer, self.template or template, self)


class _Session:
    def __init__(self, model: Any, tokenizer: Any, template: TemplateName, how: TransformersEmbedder) -> None:
        self.model, self.tokenizer, self.template, self.how = model, tokenizer, template, how
        self.dimension = int(model.config.hidden_size)
        self.template_hash = template_hash(template, tokenizer)
        self.limit = min(how.max_tokens or 10**9, context_length(model.config, tokenizer))
        architectures = model.config.architectures or []
        self.causal = any("CausalLM" in name for name in architectures)

    def embed(self, exchanges: Sequence[Exchange], tick: Tick) -> Embedded:
        """Rows of one prompt stand together, so that a causal model reads the prompt once."""
        rows = [encode(e, self.template, self.tokenizer, self.limit) for e in exchanges]
        order = sorted(
            range(len(rows)), key=lambda i: (len(rows[i].prompt), rows[i].prompt, len(rows[i].response))
        )
        vectors = np.empty((len(rows), self.dimension), dtype=np.float32)
        for start in range(0, len(order), self.how.batch_size):
            batch = order[start : start + self.how.batch_size]
            vectors[batch] = self._embed_batch([rows[i] for i in batch])
            tick(len(batch), sum(len(rows[i].response) for i in batch))
        counts = np.array([len(r.response) for r in rows], dtype=np.int32)
        return Embedded(vectors, counts, np.array([r.truncated for r in rows], dtype=bool))

    def _embed_batch(self, rows: list[Encoded]) -> np.ndarray:
        import torch

        from rmlab.embedders import forward

        with torch.inference_mode():
            run = forward.with_shared_prompts if self.causal else forward.whole
            states, mask = run(self.model, rows, self.tokenizer.pad_token_id, self.how.layer)
            return forward.pool(states, mask, self.how.pooling).float().cpu().numpy()
