"""Embeddings by a sentence-transformers model: its network, pooling, dense layers and normalisation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from rmlab.config.settings import TemplateName
from rmlab.embedders.base import Embedded, OpenEmbedder, Tick
from rmlab.errors import InputError
from rmlab.models.compute import Compute
from rmlab.models.decoding.products import lay_out_products
from rmlab.models.folder_check import check_files, told_of
from rmlab.models.oom_retry import AdaptiveBatch
from rmlab.models.text.rendering import Exchange, template_hash
from rmlab.models.text.tokens import context_length, encode_all, end_tokens
from rmlab.models.weights import find_model
from rmlab.storage.files import parse_json, read_plain_text


@dataclass(frozen=True)
class SentenceEmbedder:
    """Embeds prompt and response together, pooled over all of their tokens.

    They are tokenised apart, as everywhere. A text that is longer than the model was trained for loses the
    start of its prompt, where sentence-transformers would cut the response.
    """

    name: ClassVar[str] = "sentence"
    runs_model: ClassVar[bool] = True

    model: str = field(default="all-minilm-l6-v2", metadata={"model": True})
    revision: str | None = None
    template: TemplateName = "plain"
    max_tokens: int | None = None
    storage: Literal["float32", "float16"] = "float32"
    batch_size: int = field(default=64, metadata={"runtime": True})

    def open(self, model: str, template: TemplateName, compute: Compute) -> OpenEmbedder:
        from transformers import AutoModel

        folder = find_model(self.model, self.revision, compute.trust_remote_code).folder()
        with told_of(folder, "the model"):
            modules = read_modules(folder, compute.torch_device())
            _refuse_instructions(folder)
        with compute.loaded(AutoModel, modules.network) as (network, tokenizer):
            if network.config.is_encoder_decoder:
                raise InputError(f"{folder}: embedder=sentence reads no encoder-decoder; use another model")
            return _SentenceSession(network, tokenizer, modules, self)


def _refuse_instructions(folder: Path) -> None:
    """Raises InputError for models that put an instruction before each text, which pooling would include."""
    file = folder / "config_sentence_transformers.json"
    config = _json(file) if file.is_file() else {}
    if (name := config.get("default_prompt_name")) and config.get("prompts", {}).get(name):
        raise InputError(
            f"{folder}: puts an instruction before every text ({name}), which embedder=sentence does not; "
            "use another model"
        )


class _SentenceSession:
    """The opened embedder."""

    def __init__(self, model: Any, tokenizer: Any, modules: SentenceModules, how: SentenceEmbedder) -> None:
        lay_out_products(model)
        self.model, self.tokenizer, self.modules, self.how = model, tokenizer, modules, how
        self.template_hash = template_hash(how.template, tokenizer)
        self.ending = end_tokens(tokenizer)
        settings = text_settings(modules.network)
        if settings.get("do_lower_case") and tokenizer("A")["input_ids"] != tokenizer("a")["input_ids"]:
            raise InputError(f"{modules.network}: needs its texts in lower case; use another model")
        limits = [how.max_tokens, settings.get("max_seq_length"), context_length(model.config, tokenizer)]
        self.limit = min(n for n in limits if n) - len(self.ending)
        self.batch = AdaptiveBatch(how.batch_size, "lower embedder.max_tokens")
        self.dimension = modules.dimension(model.config.hidden_size, model.device)

    def embed(self, exchanges: Sequence[Exchange], tick: Tick) -> Embedded:
        rows = encode_all(exchanges, self.how.template, self.tokenizer, self.limit, closing=True)
        texts = [row.prompt + row.response + self.ending for row in rows]
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        for batch, found in self.batch.batches(order, partial(self._vectors, texts)):
            vectors[batch] = found
            tick(len(batch), sum(len(rows[i].response) for i in batch))
        counts = np.array([len(r.response) for r in rows], dtype=np.int32)
        return Embedded(vectors, counts, np.array([r.truncated for r in rows], dtype=bool))

    def _vectors(self, texts: list[list[int]], batch: list[int]) -> np.ndarray:
        """Returns the vectors of a batch, [n, d] float32."""
        from rmlab.models.decoding.batches import pad_right

        ids, mask = pad_right([texts[i] for i in batch], self.tokenizer.pad_token_id, self.model.device)
        with torch.inference_mode():
            states = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
            return self.modules.vectors(states, mask).cpu().numpy()


# states [n, t, d] float32 and mask [n, t], padded on the right -> [n, d]
Pool = Callable[[Tensor, Tensor], Tensor]
Then = Callable[[Tensor], Tensor]  # [n, d] -> [n, e]


@dataclass(frozen=True)
class SentenceModules:
    """The modules of a model.

    network: folder of the transformer; the others turn its last states into vectors.
    """

    network: Path
    pools: tuple[Pool, ...]
    then: tuple[Then, ...]

    def dimension(self, hidden: int, device: Any) -> int:
        """Returns the width of vectors, from that of hidden states."""
        one = torch.ones(1, 1, device=device)
        return int(self.vectors(one[:, :, None].expand(1, 1, hidden), one).shape[1])

    def vectors(self, states: Tensor, mask: Tensor) -> Tensor:
        """Returns the vectors of texts. states: [n, t, hidden]; mask: [n, t]."""
        states = states.float()
        found = torch.cat([pool(states, mask) for pool in self.pools], dim=1)
        for step in self.then:
            found = step(found)
        return found


def read_modules(folder: Path, device: Any) -> SentenceModules:
    """Reads modules.json: a Transformer, a Pooling, then any number of Dense and Normalize."""
    listed = _json(folder / "modules.json")
    kinds = [str(module["type"]).rpartition(".")[2] for module in listed]
    places = [folder / str(module["path"]) for module in listed]
    for place in (folder, *places):
        if not place.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"{folder}: its module {place} lies out of the folder; put it there")
        if place.is_dir():
            check_files(place)
    if kinds[:2] != ["Transformer", "Pooling"]:
        raise InputError(
            f"{folder}: its modules are {', '.join(kinds)}; "
            "embedder=sentence reads a Transformer, then a Pooling"
        )
    makers = {"Dense": lambda place: _dense(place, device), "Normalize": lambda place: _normalise}
    for kind in kinds[2:]:
        if kind not in makers:
            raise InputError(
                f"{folder}: embedder=sentence has no module {kind}, only {', '.join(makers)} after Pooling; "
                "use another model, or embedder=transformers for its network alone"
            )
    then = [makers[kind](place) for kind, place in zip(kinds[2:], places[2:], strict=True)]
    return SentenceModules(places[0], _pools(places[1]), tuple(then))


def text_settings(network: Path) -> dict[str, Any]:
    """Reads sentence_bert_config.json or the like: max_seq_length and do_lower_case, both optional."""
    files = sorted(network.glob("sentence_*_config.json"))
    return dict(_json(files[0])) if files else {}


def _json(file: Path) -> Any:
    try:
        return parse_json(read_plain_text(file))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{file} cannot be read ({type(error).__name__}); embedder=sentence needs a folder "
            "of sentence-transformers; use embedder=transformers for other models"
        ) from None


def _mean(states: Tensor, mask: Tensor) -> Tensor:
    return _sum(states, mask) / mask.sum(dim=1, keepdim=True)


def _mean_sqrt(states: Tensor, mask: Tensor) -> Tensor:
    return _sum(states, mask) / mask.sum(dim=1, keepdim=True).sqrt()


def _weighted_mean(states: Tensor, mask: Tensor) -> Tensor:
    """Weighs position t, counted from 1, by t."""
    weights = mask * torch.arange(1, mask.shape[1] + 1, device=mask.device)
    return _sum(states, weights) / weights.sum(dim=1, keepdim=True)


def _max(states: Tensor, mask: Tensor) -> Tensor:
    return states.masked_fill(mask[:, :, None] == 0, -torch.inf).amax(dim=1)


def _first(states: Tensor, mask: Tensor) -> Tensor:
    return states[:, 0]


def _last(states: Tensor, mask: Tensor) -> Tensor:
    return states[torch.arange(len(states), device=states.device), mask.sum(dim=1).long() - 1]


def _sum(states: Tensor, weights: Tensor) -> Tensor:
    return (states * weights[:, :, None]).sum(dim=1)


# mode -> (its key in older configurations, its function)
_MODES: dict[str, tuple[str, Pool]] = {
    "cls": ("pooling_mode_cls_token", _first),
    "max": ("pooling_mode_max_tokens", _max),
    "mean": ("pooling_mode_mean_tokens", _mean),
    "mean_sqrt_len_tokens": ("pooling_mode_mean_sqrt_len_tokens", _mean_sqrt),
    "weightedmean": ("pooling_mode_weightedmean_tokens", _weighted_mean),
    "lasttoken": ("pooling_mode_lasttoken", _last),
}


def _pools(place: Path) -> tuple[Pool, ...]:
    """Returns the pooling modes, whose vectors are concatenated; _MODES gives the order of older files."""
    config = _json(place / "config.json")
    modes = config.get("pooling_mode") or [m for m, (key, _) in _MODES.items() if config.get(key)] or "mean"
    modes = [modes] if isinstance(modes, str) else modes
    if unknown := [m for m in modes if m not in _MODES]:
        raise InputError(f"{place}: unknown pooling {unknown[0]}; there is: {', '.join(_MODES)}")
    return tuple(_MODES[m][1] for m in modes)


_ACTIVATIONS = ("Identity", "Tanh", "ReLU", "GELU", "SiLU", "Sigmoid")


def _dense(place: Path, device: Any) -> Then:
    """Reads a dense layer, activation(x W^T + b)."""
    from safetensors.torch import load_file

    config, file = _json(place / "config.json"), place / "model.safetensors"
    name = str(config.get("activation_function", "torch.nn.modules.activation.Tanh")).rpartition(".")[2]
    if name not in _ACTIVATIONS or config.get("use_residual"):
        what = "residual layers" if name in _ACTIVATIONS else f"activation {name}"
        raise InputError(f"{place}: embedder=sentence has no {what}; use another model")
    if not file.is_file():
        raise InputError(f"{file} is missing, and only safetensors are read; save the model as safetensors")
    weights = load_file(file, device=str(device))
    weight, bias = weights["linear.weight"].float(), weights.get("linear.bias")
    bias = None if bias is None else bias.float()
    activation = getattr(torch.nn, name)()
    return lambda vectors: activation(torch.nn.functional.linear(vectors, weight, bias))


def _normalise(vectors: Tensor) -> Tensor:
    return torch.nn.functional.normalize(vectors, dim=1)
