"""Attention of many samples to the one prompt they share: the prompt's keys and values are kept once.

A row's softmax runs over its prompt and its own tokens. Both parts are computed apart, the prompt's for all
rows of a prompt in one product, and joined by their normalisers: exact (Hydragen, Juravsky et al. 2024).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

IMPLEMENTATION = "rmlab_shared_prefix"
_ROOM = 16  # tokens by which the room for a row's own tokens grows at least


class SharedLayer:
    """Keys and values of one layer: of G prompts [G, h, length, d], and of B rows' own tokens.

    h is the number of key-value heads; the room for own tokens [B, h, room, d] grows as it fills.
    """

    def __init__(self, prefix: SharedPrefix, keys: Tensor, values: Tensor) -> None:
        self.prefix, self.keys, self.values = prefix, keys.contiguous(), values.contiguous()
        self.own_keys, self.own_values = (
            x.new_empty(0, *x.shape[1:]) for x in (keys[:, :, :0], values[:, :, :0])
        )
        self.length = 0

    def append(self, keys: Tensor, values: Tensor) -> None:
        """keys, values [B, h, 1, d] of each row's newest token."""
        if self.length == self.own_keys.shape[2]:
            self.own_keys, self.own_values = (
                _with_room(x, new, self.length)
                for x, new in ((self.own_keys, keys), (self.own_values, values))
            )
        n = len(keys)
        self.own_keys[:n, :, self.length] = keys[:, :, 0]
        self.own_values[:n, :, self.length] = values[:, :, 0]
        self.length += 1

    def attend(self, query: Tensor, scale: float, softcap: float | None) -> Tensor:
        """query [B, H, 1, d] -> [B, 1, H, d]."""
        rows, heads = query.shape[:2]
        shared = self.keys.shape[1]
        grouped = query.view(rows, shared, heads // shared, -1) * scale
        own = _part(
            grouped, self.own_keys[:rows, :, : self.length], self.own_values[:rows, :, : self.length], softcap
        )
        prompts = self.prefix.gather(grouped)
        read = _part(prompts, self.keys, self.values, softcap, self.prefix.mask)
        joined = _join(own, tuple(self.prefix.scatter(x, heads // shared) for x in read))
        return joined.reshape(rows, 1, heads, -1)


class SharedPrefix:
    """The cache that a transformers model is given: hands each layer's store to the attention below.

    Stands in for transformers' Cache at decoding; `places` says which prompt each row continues.
    """

    is_compileable = False

    def __init__(self, cache: Any, lengths: Tensor, places: Tensor) -> None:
        """cache: of a pass over G prompts padded on the right; lengths [G] of the prompts."""
        self.lengths = lengths
        longest = int(lengths.max())
        self.layers = [
            SharedLayer(self, x.keys[:, :, :longest], x.values[:, :, :longest]) for x in cache.layers
        ]
        beyond = torch.arange(longest, device=lengths.device)[None, :] >= lengths[:, None]
        self.mask = beyond[:, None, None, :] if bool(beyond.any()) else None
        self.place(places)

    def place(self, places: Tensor) -> None:
        """Lays the rows out as a grid [G, most rows of a prompt]; row 0 fills the gaps and is not read."""
        self.places = places
        counts = torch.bincount(places, minlength=len(self.lengths))
        order = torch.argsort(places, stable=True)
        starts = counts.cumsum(0) - counts
        within = torch.arange(len(places), device=places.device) - starts[places[order]]
        self.width = int(counts.max())
        self.flat = torch.empty_like(places)
        self.flat[order] = places[order] * self.width + within
        self.grid = torch.zeros(len(self.lengths) * self.width, dtype=torch.long, device=places.device)
        self.grid[self.flat] = torch.arange(len(places), device=places.device)
        self.is_plain = len(self.lengths) == 1

    def gather(self, rows: Tensor) -> Tensor:
        """[B, h, r, d] -> [G, h, width * r, d]: the queries of each prompt's rows side by side."""
        _, h, r, d = rows.shape
        laid = rows if self.is_plain else rows[self.grid]
        laid = laid.view(len(self.lengths), self.width, h, r, d)
        return laid.transpose(1, 2).reshape(len(self.lengths), h, self.width * r, d)

    def scatter(self, laid: Tensor, r: int) -> Tensor:
        """The inverse of gather."""
        g, h, _, d = laid.shape
        rows = laid.view(g, h, self.width, r, d).transpose(1, 2).reshape(g * self.width, h, r, d)
        return rows if self.is_plain else rows[self.flat]

    def keep(self, kept: Tensor) -> Tensor:
        """Drops the other rows; returns the order in which the kept ones stand now. Only a few are moved."""
        n = len(kept)
        is_kept = torch.zeros(len(self.places), dtype=torch.bool, device=kept.device)
        is_kept[kept] = True
        holes = (~is_kept[:n]).nonzero().squeeze(1)
        movers = is_kept[n:].nonzero().squeeze(1) + n
        order = torch.arange(n, device=kept.device)
        order[holes] = movers
        for layer in (x for x in self.layers if x.length):
            layer.own_keys[holes] = layer.own_keys[movers]
            layer.own_values[holes] = layer.own_values[movers]
        self.place(self.places[order])
        return order

    def update(
        self, keys: Tensor, values: Tensor, layer: int, *rest: Any, **more: Any
    ) -> tuple[SharedLayer, Tensor]:
        """Called by the model's attention; what it returns goes to `attention` as key and value."""
        self.layers[layer].append(keys, values)
        return self.layers[layer], values

    def get_seq_length(self, layer: int = 0) -> int:
        return int(self.lengths.max()) + self.layers[layer].length


def attention(
    module: Any, query: Tensor, key: Any, value: Tensor, mask: Any = None, **how: Any
) -> tuple[Tensor, None]:
    """transformers' attention interface: query [B, H, 1, d], key a SharedLayer -> [B, 1, H, d]."""
    scale = how.get("scaling")
    return key.attend(query, scale or query.shape[-1] ** -0.5, how.get("softcap")), None


_Part = tuple[Tensor, Tensor, Tensor]


def _part(
    query: Tensor, keys: Tensor, values: Tensor, softcap: float | None, mask: Tensor | None = None
) -> _Part:
    """Unnormalised attention [.., m, d], its normaliser [.., m, 1] and the maximum it is relative to."""
    scores = torch.matmul(query, keys.transpose(-1, -2)).float()
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if mask is not None:
        scores = scores.masked_fill_(mask, -torch.inf)
    top = scores.amax(dim=-1, keepdim=True)
    weights = scores.sub_(top).exp_()
    return torch.matmul(weights.to(values.dtype), values), weights.sum(dim=-1, keepdim=True), top


def _join(a: _Part, b: tuple[Tensor, ...]) -> Tensor:
    top = torch.maximum(a[2], b[2])
    left, right = (a[2] - top).exp_(), (b[2] - top).exp_()
    total = a[1] * left + b[1] * right
    return (a[0] * (left / total) + b[0] * (right / total)).to(a[0].dtype)


def _with_room(stored: Tensor, new: Tensor, length: int) -> Tensor:
    room = max(2 * length, _ROOM)
    grown = new.new_empty(len(new), new.shape[1], room, new.shape[3])
    if length:
        grown[:, :, :length] = stored[: len(new), :, :length]
    return grown
