"""Decodes many samples of many prompts: one pass over each prompt, then a token of each sample in a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from rmlab.models.decoding.batches import pad_left, pad_right
from rmlab.models.decoding.shared_prefix import SharedPrefix, agree, attends_to_all, sharing

_FEW_ROWS = 256  # with more rows the usual order of operands is as fast
_BLOCK = 4096  # rows of a weight
_LARGE = 2**19  # values of a weight from which swapping operands is faster
_PROMPTS, _PLACES, _STEPS = [[5, 6, 7], [8, 9]], [0, 1, 1], [[3, 4, 6], [7, 8, 9]]  # a trial of sharing


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


def open_decoder(model: Any, pad: int, longest: int, shares: bool) -> Decoder:
    """Returns a decoder. longest: prompt and response, in tokens; shares: the result of may_share."""
    if shares and attends_to_all(model.config, longest):
        return SharedDecoder(model, pad)
    return ExpandedDecoder(model, pad)


def may_share(model: Any, pad: int) -> bool:
    """Returns whether SharedDecoder agrees with whole texts on a trial of two prompts and three rows."""
    if not attends_to_all(model.config, 5):
        return False

    def shared() -> Tensor:
        decoder = SharedDecoder(model, pad)
        found = decoder.start(_PROMPTS, torch.tensor(_PLACES))
        for tokens in _STEPS:
            found = decoder.step(torch.tensor(tokens, device=model.device))
        return found

    def usual() -> Tensor:
        texts = [_PROMPTS[place] + [s[k] for s in _STEPS] for k, place in enumerate(_PLACES)]
        return torch.stack(
            [model(input_ids=torch.tensor([t], device=model.device)).logits[0, -1] for t in texts]
        )

    return agree(shared, usual, model.dtype)


class few_rows_first(TorchFunctionMode):
    """Within this context `linear` of a few rows and a large weight computes (W xᵀ)ᵀ instead of x Wᵀ.

    BLAS splits and packs the larger operand better as the first one: for 100 rows of a model of width 576
    the products took a quarter less time. The result differs by rounding alone.
    """

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.nn.functional.linear and not kwargs and _applies(args[0], args[1]):
            return _swapped(*args)
        return func(*args, **(kwargs or {}))


def _applies(x: Tensor, weight: Tensor) -> bool:
    """Returns whether swapping the operands is faster."""
    rows = x.numel() // x.shape[-1]
    few = 8 <= rows <= _FEW_ROWS and weight.numel() >= _LARGE
    return few and x.device.type == "cpu" and x.dtype == torch.float32


def _swapped(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Computes `linear` with swapped operands."""
    found = _by_blocks(x.reshape(-1, x.shape[-1]).t(), weight)
    if bias is not None:
        found = found + bias
    return found.view(*x.shape[:-1], len(weight))


def _by_blocks(columns: Tensor, weight: Tensor) -> Tensor:
    """Returns (W x)ᵀ for columns x [d, n]; large W in blocks, each transposed while it is in the cache."""
    if len(weight) <= _BLOCK:
        return torch.mm(weight, columns).t()
    found = columns.new_empty(columns.shape[1], len(weight))
    for start in range(0, len(weight), _BLOCK):
        found[:, start : start + _BLOCK] = torch.mm(weight[start : start + _BLOCK], columns).t()
    return found


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
