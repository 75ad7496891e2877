"""Embeddings by a sentence-transformers model: the prompt and its response as one text, pooled as trained."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from rmlab.compute import Compute
from rmlab.embedders.base import Embedded, OpenEmbedder, Tick
from rmlab.errors import InputError
from rmlab.halving import Halving
from rmlab.models import find_model
from rmlab.settings import TemplateName
from rmlab.text import Exchange, context_length, encode_all, end_tokens, template_hash

if TYPE_CHECKING:
    from rmlab.embedders.sentence_modules import SentenceModules


@dataclass(frozen=True)
class SentenceEmbedder:
    """A vector of the response in its context: pooled over all tokens of prompt and response.

    Prompt and response are tokenised apart, as everywhere. What is longer than the model was trained for
    loses the start of its prompt, where sentence-transformers would cut the response.
    """

    name: ClassVar[str] = "sentence"

    model: str = field(default="all-minilm-l6-v2", metadata={"model": True})
    revision: str | None = None
    template: TemplateName = "plain"
    max_tokens: int | None = None
    storage: Literal["float32", "float16"] = "float32"
    batch_size: int = field(default=64, metadata={"runtime": True})

    def open(self, model: str, template: TemplateName, compute: Compute) -> OpenEmbedder:
        from transformers import AutoModel

        from rmlab.embedders.sentence_modules import read_modules

        folder = find_model(self.model, self.revision, compute.trust_remote_code).folder()
        modules = read_modules(folder, compute.torch_device())
        _refuse_instructions(folder)
        tokenizer = compute.load_tokenizer(modules.network)
        network = compute.load_model(AutoModel, modules.network)
        if network.config.is_encoder_decoder:
            raise InputError(f"{folder}: embedder=sentence reads no encoder-decoder; use another model")
        return _Session(network, tokenizer, modules, self)


def _refuse_instructions(folder: Path) -> None:
    """Some models put an instruction before every text, which would have to be left out of the pooling."""
    file = folder / "config_sentence_transformers.json"
    config = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if (name := config.get("default_prompt_name")) and config.get("prompts", {}).get(name):
        raise InputError(
            f"{folder}: puts an instruction before every text ({name}), which embedder=sentence does not; "
            "use another model"
        )


class _Session:
    def __init__(self, model: Any, tokenizer: Any, modules: SentenceModules, how: SentenceEmbedder) -> None:
        from rmlab.embedders.sentence_modules import text_settings

        self.model, self.tokenizer, self.modules, self.how = model, tokenizer, modules, how
        self.template_hash = template_hash(how.template, tokenizer)
        self.ending = end_tokens(tokenizer)
        settings = text_settings(modules.network)
        if settings.get("do_lower_case") and tokenizer("A")["input_ids"] != tokenizer("a")["input_ids"]:
            raise InputError(f"{modules.network}: wants its texts in lower case; use another model")
        limits = [how.max_tokens, settings.get("max_seq_length"), context_length(model.config, tokenizer)]
        self.limit = min(n for n in limits if n) - len(self.ending)
        self.halving = Halving(how.batch_size, "lower embedder.max_tokens")
        self.dimension = modules.dimension(model.config.hidden_size, model.device)

    def embed(self, exchanges: Sequence[Exchange], tick: Tick) -> Embedded:
        rows = encode_all(exchanges, self.how.template, self.tokenizer, self.limit, closing=True)
        texts = [row.prompt + row.response + self.ending for row in rows]
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        for batch, found in self.halving.batches(order, partial(self._vectors, texts)):
            vectors[batch] = found
            tick(len(batch), sum(len(rows[i].response) for i in batch))
        counts = np.array([len(r.response) for r in rows], dtype=np.int32)
        return Embedded(vectors, counts, np.array([r.truncated for r in rows], dtype=bool))

    def _vectors(self, texts: list[list[int]], batch: list[int]) -> np.ndarray:
        """[n, d] float32"""
        import torch

        from rmlab.networks.padding import pad_right

        ids, mask = pad_right([texts[i] for i in batch], self.tokenizer.pad_token_id, self.model.device)
        with torch.inference_mode():
            states = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
            return self.modules.vectors(states, mask).cpu().numpy()
