"""Decodes many samples of many prompts: one pass over each prompt, then a token of each sample in a step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from rmlab.models.decoding.batches import pad_left, pad_right
from rmlab.models.decoding.fused import FusedLayers, fuse
from rmlab.models.decoding.products import Product, has_room, lay_out_products
from rmlab.models.decoding.shared_prefix import SharedPrefix, attends_to_all, sharing
from rmlab.models.decoding.trials import agree, trial_tokens

_LENGTHS, _PLACES, _N_STEPS = (24, 17), [0, 1, 1], 3  # of a trial of sharing: prompts, rows and steps


class Decoder(Protocol):
    """Decodes B rows, of which row i continues prompt places[i]."""

    def start(self, prompts: Sequence[list[int]], places: Tensor) -> Tensor:
        """Returns the logits after the prompts, [B, V]."""
        ...

    def step(self, tokens: Tensor) -> Tensor:
        """Returns the logits after the tokens [B] that were just chosen, [B, V]."""
        ...

    def keep(self, rows: Tensor) -> Tensor:
        """Drops all other rows; returns the kept rows in their new order."""
        ...


class SharedDecoder:
    """Stores each prompt once, whatever the number of its samples."""

    def __init__(self, model: Any, pad: int) -> None:
        self.model, self.pad = model, pad

    def start(self, prompts: Sequence[list[int]], places: Tensor) -> Tensor:
        """Reads the prompts. The pass needs no mask, since a causal model ignores padding on the right."""
        device = self.model.device
        places = places.to(device)
        lengths = torch.tensor([len(p) for p in prompts], device=device)
        ids, _ = pad_right(prompts, self.pad, device)
        with _last_states(self.model, lengths):
            output = self.model(input_ids=ids, use_cache=True)
        self.prefix = SharedPrefix([output.past_key_values], lengths)
        self.prefix.begin(places)
        self.positions = lengths[places]
        return output.logits[:, 0][places]

    def step(self, tokens: Tensor) -> Tensor:
        with sharing(self.model):
            output = self.model(
                input_ids=tokens[:, None],
                position_ids=self.positions[:, None],
                past_key_values=self.prefix,
                use_cache=True,
            )
        self.positions = self.positions + 1
        return output.logits[:, -1].contiguous()

    def keep(self, rows: Tensor) -> Tensor:
        order = self.prefix.keep(rows)
        self.positions = self.positions[order]
        return order


class FusedDecoder(SharedDecoder):
    """Does the same by fused layers and a product of their own for the vocabulary."""

    def __init__(self, model: Any, pad: int, fused: FusedModel) -> None:
        super().__init__(model, pad)
        self.fused = fused

    def start(self, prompts: Sequence[list[int]], places: Tensor) -> Tensor:
        lengths = torch.tensor([len(p) for p in prompts])
        ids, _ = pad_right(prompts, self.pad, self.model.device)
        (states,), keys = self.fused.layers.read(ids, [-1])
        self.prefix = SharedPrefix([keys], lengths)
        self.prefix.begin(places)
        self.positions = lengths[places]
        return self.fused.output(states[torch.arange(len(ids)), lengths - 1])[places]

    def step(self, tokens: Tensor) -> Tensor:
        (states,) = self.fused.layers.after(self.prefix, tokens[:, None], self.positions[:, None], [-1])
        self.positions = self.positions + 1
        return self.fused.output(states[:, 0])


@dataclass(frozen=True)
class FusedModel:
    """The fused layers of a language model, and the product of their states with its vocabulary."""

    layers: FusedLayers
    output: Product


def fuse_model(model: Any, pad: int) -> FusedModel | None:
    """Returns the fused form of a language model, or None where its decoder would not agree with the usual
    one; then the model's own products are laid out."""
    layers, output = fuse(getattr(model, "model", None)), model.get_output_embeddings()
    if layers and type(output) is torch.nn.Linear:
        fused = FusedModel(layers, Product(output.weight, output.bias, has_room([output.weight])))
        if agree(lambda: _tried(FusedDecoder(model, pad, fused)), lambda: _read_whole(model), model.dtype):
            return fused
    lay_out_products(model)
    return None


def open_decoder(
    model: Any, pad: int, longest: int, shares: bool, fused: FusedModel | None = None
) -> Decoder:
    """Returns a decoder. longest: prompt and response, in tokens; shares, fused: the results of may_share and
    fuse_model."""
    if not shares or not attends_to_all(model.config, longest):
        return ExpandedDecoder(model, pad)
    return FusedDecoder(model, pad, fused) if fused else SharedDecoder(model, pad)


def may_share(model: Any, pad: int) -> bool:
    """Returns whether SharedDecoder agrees with whole texts on a trial of two prompts and three rows."""
    if not attends_to_all(model.config, max(_LENGTHS) + _N_STEPS):
        return False
    return agree(lambda: _tried(SharedDecoder(model, pad)), lambda: _read_whole(model), model.dtype)


def _trial(model: Any) -> tuple[list[list[int]], list[list[int]]]:
    """Returns the prompts of a trial, and the tokens of each row."""
    texts = trial_tokens(model, [*_LENGTHS, *[_N_STEPS] * len(_PLACES)])
    return texts[: len(_LENGTHS)], texts[len(_LENGTHS) :]


def _tried(decoder: SharedDecoder) -> Tensor:
    """Returns the logits after the trial's prompts and steps."""
    prompts, rows = _trial(decoder.model)
    found = decoder.start(prompts, torch.tensor(_PLACES))
    for tokens in zip(*rows, strict=True):
        found = decoder.step(torch.tensor(tokens, device=found.device))
    return found


def _read_whole(model: Any) -> Tensor:
    """Returns the logits after the same texts, each read at once by the model itself."""
    prompts, rows = _trial(model)
    texts = [prompts[place] + row for place, row in zip(_PLACES, rows, strict=True)]
    return torch.stack([model(input_ids=torch.tensor([t], device=model.device)).logits[0, -1] for t in texts])


class ExpandedDecoder:
    """Copies the cache of a prompt for each sample, for models with an attention of their own."""

    def __init__(self, model: Any, pad: int) -> None:
        self.model, self.pad = model, pad

    def start(self, prompts: Sequence[list[int]], places: Tensor) -> Tensor:
        device = self.model.device
        places = places.to(device)
        ids, mask = pad_left(prompts, self.pad, device)
        output = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=(mask.cumsum(dim=1) - 1).clamp(min=0),
            use_cache=True,
            logits_to_keep=1,
        )
        self.cache, self.mask = output.past_key_values, mask[places]
        self.cache.batch_select_indices(places)
        return output.logits[places, -1]

    def step(self, tokens: Tensor) -> Tensor:
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(tokens), 1)], dim=1)
        output = self.model(
            input_ids=tokens[:, None],
            attention_mask=self.mask,
            position_ids=self.mask.sum(dim=1, keepdim=True) - 1,
            past_key_values=self.cache,
            use_cache=True,
        )
        self.cache = output.past_key_values
        return output.logits[:, -1]

    def keep(self, rows: Tensor) -> Tensor:
        self.cache.batch_select_indices(rows)
        self.mask = self.mask[rows]
        return rows


@contextmanager
def _last_states(model: Any, lengths: Tensor) -> Iterator[None]:
    """Within this context the output layer only gets the state of each row's last token, [G, 1, d].

    Logits of all tokens, or of all positions at which some prompt ends, would fill the memory.
    """
    rows = torch.arange(len(lengths), device=lengths.device)

    def chosen(module: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (inputs[0][rows, lengths - 1][:, None], *inputs[1:])

    handle = model.get_output_embeddings().register_forward_pre_hook(chosen)
    try:
        yield
    finally:
        handle.remove()
