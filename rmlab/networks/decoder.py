"""Decoding many samples of many prompts: one pass over each prompt, then a token a row a step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor

from rmlab.networks.padding import pad_left, pad_right
from rmlab.networks.products import few_rows_first
from rmlab.networks.shared_prefix import SharedPrefix, sharing


class Decoder(Protocol):
    """B rows; row i continues prompt places[i]."""

    def start(self, prompts: Sequence[list[int]], places: Tensor) -> Tensor:
        """Logits [B, V] after the prompts."""
        ...

    def step(self, tokens: Tensor) -> Tensor:
        """tokens [B] just chosen -> logits [B, V]."""
        ...

    def keep(self, rows: Tensor) -> Tensor:
        """Drops all other rows; returns the rows in the order in which they stand from now on."""
        ...


class SharedDecoder:
    """Prompts are stored once, whatever the number of their samples."""

    def __init__(self, model: Any, pad: int) -> None:
        self.model, self.pad = model, pad

    def start(self, prompts: Sequence[list[int]], places: Tensor) -> Tensor:
        """A causal model never looks at padding on the right, so the pass needs no mask."""
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
        with sharing(self.model), few_rows_first():
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


@contextmanager
def _last_states(model: Any, lengths: Tensor) -> Iterator[None]:
    """Within this context the output layer gets the state [G, 1, d] of each row's last token alone.

    Logits of all tokens, or of all the places where some prompt ends, would fill the memory.
    """
    rows = torch.arange(len(lengths), device=lengths.device)

    def chosen(module: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (inputs[0][rows, lengths - 1][:, None], *inputs[1:])

    handle = model.get_output_embeddings().register_forward_pre_hook(chosen)
    try:
        yield
    finally:
        handle.remove()


class ExpandedDecoder:
    """For models with an attention of their own: the prompt's cache is copied for each sample."""

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
