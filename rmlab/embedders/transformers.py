"""Embeddings by a transformers model: the mean or the last of the response's tokens, or the text's end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from rmlab.config.settings import TemplateName
from rmlab.embedders.base import Embedded, OpenEmbedder, Tick
from rmlab.errors import ConfigError, InputError
from rmlab.models.compute import Compute
from rmlab.models.text.rendering import Exchange, template_hash
from rmlab.models.text.tokens import Encoded, begin_tokens, context_length, encode_all, fit
from rmlab.models.text.whole_text import encode_whole
from rmlab.models.weights import find_model

if TYPE_CHECKING:
    from torch import Tensor

_VIEW = {"view": True}  # embedders that differ in these alone share a pass


@dataclass(frozen=True)
class TransformersEmbedder:
    """Pools hidden states: the mean over the response's tokens, the last of them, or the end of the text.

    The end is the last token of the text with the template's closing tokens, tokenised as a whole: the token
    that sequence classifiers of transformers, TRL and vLLM pool.

    model null: the policy's base model; layer: 0 for the input embeddings, -1 for the last; batch_tokens: the
    size of a batch in tokens, with padding; null: 512 on a CPU (1,024 in bfloat16), 65,536 on a
    GPU.
    """

    name: ClassVar[str] = "transformers"
    runs_model: ClassVar[bool] = True

    model: str | None = field(default=None, metadata={"model": True})
    revision: str | None = None
    template: TemplateName | None = None
    layer: int = field(default=-1, metadata=_VIEW)
    pooling: Literal["mean", "last", "end"] = field(default="mean", metadata=_VIEW)
    max_tokens: int | None = None
    storage: Literal["float32", "float16"] = field(default="float32", metadata=_VIEW)
    batch_tokens: int | None = field(default=None, metadata={"runtime": True})

    def open(self, model: str, template: TemplateName, compute: Compute) -> OpenEmbedder:
        from transformers import AutoModel

        found = find_model(
            self.model or model,
            self.revision if self.model else compute.revision,
            compute.trust_remote_code,
        )
        folder = found.folder()
        with compute.loaded(AutoModel, folder) as (network, tokenizer):
            session = EmbeddingSession(network, tokenizer, self.template or template, self, found.name)
            session.check_layer(self)
            return session


class EmbeddingSession:
    """The opened embedder."""

    def __init__(
        self, model: Any, tokenizer: Any, template: TemplateName, how: TransformersEmbedder, name: str
    ) -> None:
        from rmlab.models.decoding.text_reader import TextReader

        self.model, self.tokenizer, self.template = model, tokenizer, template
        self.how, self.name, self.pooling = how, name, how.pooling
        self.dimension = int(model.config.hidden_size)
        self.template_hash = template_hash(template, tokenizer)
        self.limit = min(how.max_tokens or 10**9, context_length(model.config, tokenizer))
        architectures = model.config.architectures or []
        causal = any("CausalLM" in name for name in architectures)
        pad = tokenizer.pad_token_id
        self.reader = TextReader(model, pad, causal, how.batch_tokens, "lower embedder.max_tokens")

    def check_layer(self, view: TransformersEmbedder) -> None:
        """Raises ConfigError unless the model has the layer."""
        depth = self.model.config.num_hidden_layers
        if not -depth - 1 <= view.layer <= depth:
            raise ConfigError(f"embedder.layer={view.layer}: {self.name} has layers 0 to {depth}")

    def embed(self, exchanges: Sequence[Exchange], tick: Tick) -> Embedded:
        return self.embed_views(exchanges, [self.how], tick)[0]

    def embed_views(
        self, exchanges: Sequence[Exchange], views: Sequence[TransformersEmbedder], tick: Tick
    ) -> list[Embedded]:
        """Embeds by several views in one pass; a causal model reads each prompt once."""
        for view in views:
            self.check_layer(view)
        found: dict[int, Embedded] = {}
        for encode, is_end in ((encode_all, False), (encode_whole, True)):
            numbers = [k for k, view in enumerate(views) if (view.pooling == "end") is is_end]
            if numbers:
                rows = encode(exchanges, self.template, self.tokenizer, self.limit)
                read = self._read(rows, [views[k] for k in numbers], _untold if found else tick)
                found |= zip(numbers, read, strict=True)
        return [found[k] for k in range(len(views))]

    def embed_tokens(self, rows: Sequence[Encoded], tick: Tick) -> Embedded:
        """Embeds texts that are tokens already; those that are too long are cut as texts are.

        With pooling=end a whole text may be given as a prompt alone.
        """
        known = self.model.get_input_embeddings().num_embeddings
        for k, row in enumerate(rows):
            if not row.prompt or not all(0 <= token < known for token in (*row.prompt, *row.response)):
                raise InputError(f"text {k + 1}: give at least one token, each from 0 to {known - 1:,}")
        begin = begin_tokens(self.tokenizer)
        return self._read([fit(row, self.limit, begin) for row in rows], [self.how], tick)[0]

    def _read(
        self, rows: Sequence[Encoded], views: Sequence[TransformersEmbedder], tick: Tick
    ) -> list[Embedded]:
        layers = list(dict.fromkeys(view.layer for view in views))
        vectors = np.empty((len(views), len(rows), self.dimension), dtype=np.float32)
        for batch, found in self.reader.read(rows, layers, partial(_pooled, views, layers)):
            vectors[:, batch] = found
            tick(len(batch), sum(len(rows[i].response) for i in batch))
        counts = np.array([len(r.response) - r.closing for r in rows], dtype=np.int32)
        truncated = np.array([r.truncated for r in rows], dtype=bool)
        return [Embedded(of_view, counts, truncated) for of_view in vectors]


def _untold(rows: int, tokens: int) -> None:
    """The tick of a second pass over texts that were counted in the first."""


def _pooled(
    views: Sequence[TransformersEmbedder], layers: Sequence[int], states: list[Tensor], mask: Tensor
) -> np.ndarray:
    """Returns the embeddings by each view, [views, n, d] float32."""
    import torch

    from rmlab.models.decoding.text_reader import pool

    of_layer = dict(zip(layers, states, strict=True))
    return torch.stack([pool(of_layer[v.layer], mask, v.pooling) for v in views]).cpu().numpy()
