"""Attention of many rows to a prompt that they share.

The softmax of a token runs over the prompt and the row's own tokens. The two parts are computed separately,
the prompt's for all its rows in one product, and combined exactly by their normalisers (Hydragen, Juravsky et
al. 2024). Notation: G prompts, B rows, t tokens of each, H query heads in h groups that share keys, width d.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

IMPLEMENTATION = "rmlab_shared_prefix"
_ROOM = 16  # tokens by which the space for a row's own tokens grows


class SharedLayer:
    """The keys and values of a layer, of the prompts [G, h, length, d] and of the rows' own tokens."""

    def __init__(self, prefix: SharedPrefix, keys: Tensor, values: Tensor) -> None:
        self.prefix, self.all_keys, self.all_values = prefix, keys.contiguous(), values.contiguous()

    def begin(self, used: Tensor | None) -> None:
        """Starts new rows. used: the prompts that they continue; None: all."""
        self.keys = self.all_keys if used is None else self.all_keys[used]
        self.values = self.all_values if used is None else self.all_values[used]
        self.own_keys, self.own_values = self.keys[:0, :, :0], self.values[:0, :, :0]
        self.length = 0

    def append(self, keys: Tensor, values: Tensor) -> None:
        """Adds the keys and values of each row's newest tokens, [B, h, t, d]."""
        n, _, t, _ = keys.shape
        if self.length + t > self.own_keys.shape[2]:
            self.own_keys = _with_room(self.own_keys, keys, self.length)
            self.own_values = _with_room(self.own_values, values, self.length)
        self.own_keys[:n, :, self.length : self.length + t] = keys
        self.own_values[:n, :, self.length : self.length + t] = values
        self.length += t

    def attend(self, query: Tensor, scale: float, softcap: float | None) -> Tensor:
        """Returns the attention to prompt and own tokens, [B, t, H, d]. query: [B, H, t, d]."""
        n, heads, t, d = query.shape
        h = self.keys.shape[1]
        grouped = (query * scale).reshape(n, h, heads // h * t, d)
        own = _part(grouped, self.own_keys[:n], self.own_values[:n], softcap, self._unseen(t, heads // h))
        prompts = self.prefix.gather(grouped)
        read = _part(prompts, self.keys, self.values, softcap, self.prefix.mask)
        joined = _join(own, tuple(self.prefix.scatter(x, grouped.shape[2]) for x in read))
        return joined.reshape(n, heads, t, d).transpose(1, 2)

    def _unseen(self, t: int, heads: int) -> Tensor | None:
        """Returns the mask of what the t newest tokens do not see, for all heads of a group.

        These are later tokens and the space that is still free, since whole stores are read without a copy.
        """
        room = self.own_keys.shape[2]
        if t == 1 and room == self.length:
            return None
        device = self.keys.device
        newest = torch.arange(self.length - t, self.length, device=device)
        return (torch.arange(room, device=device)[None, :] > newest[:, None]).repeat(heads, 1)


class SharedPrefix:
    """Takes the place of transformers' Cache and passes each layer's store to `attention` below."""

    is_compileable = False

    def __init__(self, caches: Sequence[Any], lengths: Tensor) -> None:
        """caches: of passes over G prompts in total, padded on the right; lengths: [G], of the prompts."""
        self.lengths, longest = lengths, int(lengths.max())
        self.layers = [
            SharedLayer(
                self, _stacked([x.keys for x in same], longest), _stacked([x.values for x in same], longest)
            )
            for same in zip(*(cache.layers for cache in caches), strict=True)
        ]

    def begin(self, places: Tensor) -> None:
        """Starts new rows without own tokens; row i continues prompt places[i]."""
        used, numbers = places.unique(return_inverse=True)
        is_all = len(used) == len(self.lengths)
        for layer in self.layers:
            layer.begin(None if is_all else used)
        lengths = self.lengths[used]
        longest = self.layers[0].keys.shape[2]
        beyond = torch.arange(longest, device=lengths.device)[None, :] >= lengths[:, None]
        self.mask = beyond[:, None, None, :] if bool(beyond.any()) else None
        self._n = len(used)
        self._place(numbers)

    def _place(self, places: Tensor) -> None:
        """Arranges the rows in a grid [prompts, most rows of one].

        Gaps hold row 0, which is not read there.
        """
        self.places = places
        counts = torch.bincount(places, minlength=self._n)
        order = torch.argsort(places, stable=True)
        starts = counts.cumsum(0) - counts
        within = torch.arange(len(places), device=places.device) - starts[places[order]]
        self.width = int(counts.max())
        self.flat = torch.empty_like(places)
        self.flat[order] = places[order] * self.width + within
        self.grid = torch.zeros(self._n * self.width, dtype=torch.long, device=places.device)
        self.grid[self.flat] = torch.arange(len(places), device=places.device)

    def gather(self, rows: Tensor) -> Tensor:
        """Puts the queries of each prompt's rows together: [B, h, r, d] -> [prompts, h, width * r, d]."""
        _, h, r, d = rows.shape
        laid = rows if self._n == 1 else rows[self.grid]
        return laid.view(self._n, self.width, h, r, d).transpose(1, 2).reshape(self._n, h, self.width * r, d)

    def scatter(self, laid: Tensor, r: int) -> Tensor:
        """Inverts gather."""
        n, h, _, d = laid.shape
        rows = laid.view(n, h, self.width, r, d).transpose(1, 2).reshape(n * self.width, h, r, d)
        return rows if self._n == 1 else rows[self.flat]

    def keep(self, kept: Tensor) -> Tensor:
        """Drops all other rows, moving few; returns the kept rows in their new order."""
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
        self._place(self.places[order])
        return order

    def update(self, keys: Tensor, values: Tensor, layer: int, *_: Any, **__: Any) -> tuple[Any, Tensor]:
        """Adds keys and values for the model; what it returns is passed to `attention` as key and value."""
        self.layers[layer].append(keys, values)
        return self.layers[layer], values

    def get_seq_length(self, layer: int = 0) -> int:
        """Returns the length of the longest row, which the model asks for."""
        return int(self.lengths.max()) + self.layers[layer].length


class sharing:
    """Within this context the model's attention reads a SharedPrefix that is given as past_key_values."""

    def __init__(self, model: Any) -> None:
        from transformers import AttentionInterface

        AttentionInterface.register(IMPLEMENTATION, attention)
        self.model, self.usual = model, model.config._attn_implementation

    def __enter__(self) -> None:
        self.model.set_attn_implementation(IMPLEMENTATION)

    def __exit__(self, *_: object) -> None:
        self.model.set_attn_implementation(self.usual)


def attention(
    module: Any, query: Tensor, key: Any, value: Tensor, mask: Any = None, **how: Any
) -> tuple[Tensor, None]:
    """Implements transformers' attention interface; key is a SharedLayer.

    query: [B, H, t, d] -> [B, t, H, d].
    """
    scale = how.get("scaling")
    return key.attend(query, scale or query.shape[-1] ** -0.5, how.get("softcap")), None


_Part = tuple[Tensor, Tensor, Tensor]


def _part(query: Tensor, keys: Tensor, values: Tensor, softcap: float | None, mask: Tensor | None) -> _Part:
    """Returns unnormalised attention [.., m, d], its normaliser and its reference maximum, [.., m, 1]."""
    scores = torch.matmul(query, keys.transpose(-1, -2)).float()
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if mask is not None:
        scores = scores.masked_fill_(mask, -torch.inf)
    top = scores.amax(dim=-1, keepdim=True)
    weights = scores.sub_(top).exp_()
    return torch.matmul(weights.to(values.dtype), values), weights.sum(dim=-1, keepdim=True), top


def _join(a: _Part, b: tuple[Tensor, ...]) -> Tensor:
    """Combines two parts into normalised attention."""
    top = torch.maximum(a[2], b[2])
    left, right = (a[2] - top).exp_(), (b[2] - top).exp_()
    total = a[1] * left + b[1] * right
    return (a[0] * (left / total) + b[0] * (right / total)).to(a[0].dtype)


def _stacked(parts: Sequence[Tensor], length: int) -> Tensor:
    """Joins the prompts of all passes: [G_k, h, t_k, d] each -> [G, h, length, d]."""
    return torch.cat([pad(x[:, :, :length], (0, 0, 0, max(0, length - x.shape[2]))) for x in parts])


def _with_room(stored: Tensor, new: Tensor, length: int) -> Tensor:
    """Returns a larger store with the same content, and zeros where it is free."""
    n, h, t, d = new.shape
    whole = length + t if not length and t > 1 else -(-(length + t) // _ROOM) * _ROOM
    grown = new.new_zeros(n, h, whole, d)
    if length:
        grown[:, :, :length] = stored[:n, :, :length]
    return grown


def attends_to_all(config: Any, longest: int) -> bool:
    """Returns whether all layers attend to all earlier tokens in texts of this length."""
    text = config.get_text_config(decoder=True)
    kinds = set(getattr(text, "layer_types", None) or ["full_attention"])
    if kinds == {"full_attention"}:
        window = getattr(text, "sliding_window", None)
        return window is None or longest <= window or getattr(text, "use_sliding_window", True) is False
    window = getattr(text, "sliding_window", None)
    return kinds == {"full_attention", "sliding_attention"} and window is not None and longest <= window
