"""Choosing tokens: temperature and exact top-p without sorting, with random numbers addressed by sample and
step.

A token is drawn from all of them and, while it lies outside the most likely ones that make up top_p, drawn
again. That takes one pass over the probabilities to see whether it does; sorting would take many.
"""

from __future__ import annotations

from itertools import count

import torch
from torch import Tensor

from rmlab.storage.digest import digest

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15, the increment of splitmix64, as a signed number
_FIRST, _SECOND = -4658895280553007687, -7723592293110705685  # its multipliers


def sample_key(seed: int, prompt_id: str, index: int) -> int:
    """64 bits that name a sample, signed as torch has them."""
    key = int(digest([seed, "noise", prompt_id, index])[:16], 16)
    return key - 2**64 if key >= 2**63 else key


def step_keys(keys: Tensor, step: int) -> Tensor:
    """[n] int64 of samples -> of their step."""
    return _mixed(keys + torch.tensor(step + 1, device=keys.device) * _GOLDEN)


def gumbel(keys: Tensor, ids: Tensor) -> Tensor:
    """keys [n], ids [n, k] -> [n, k] float64: -log(-log u), u uniform by key and id."""
    bits = _mixed(keys[:, None] + (ids + 1) * _GOLDEN)
    uniform = (((bits >> 11) & (2**53 - 1)).double() + 0.5) * 2.0**-53
    return uniform.log_().neg_().log_().neg_()


def _mixed(z: Tensor) -> Tensor:
    """The finaliser of splitmix64 (Steele et al. 2014); int64 products wrap around, shifts are logical."""
    z = (z ^ ((z >> 30) & (2**34 - 1))) * _FIRST
    z = (z ^ ((z >> 27) & (2**37 - 1))) * _SECOND
    return z ^ ((z >> 31) & (2**33 - 1))


_BLOCK = 256  # tokens, about the root of a vocabulary's size
_CLOSE = 1e-4  # what rounding can move logits by in float32, when batches differ; a mass moves by less


def choose(logits: Tensor, keys: Tensor, temperature: float, top_p: float) -> tuple[Tensor, Tensor]:
    """logits [n, V], keys [n] of the noise -> token ids [n] and near ties [n].

    Tokens are kept in order of probability, equal ones in order of id, up to the first that brings the mass
    to top_p (Holtzman et al. 2020). A near tie is a choice that rounding could turn: of two that come in
    together, or of a token at the edge of the kept mass.
    """
    if temperature == 0:
        top = logits.float().topk(min(2, logits.shape[-1]), dim=-1).values
        return logits.argmax(dim=-1), top[:, 0] - top[:, -1] < _CLOSE
    scaled = logits.float() / temperature if temperature != 1 else logits.float()
    close = _CLOSE / min(temperature, 1.0)
    mass = scaled.softmax(dim=-1)
    tokens, near = _draw(scaled, mass, step_keys(keys, 0), close)
    if top_p >= 1:
        return tokens, near
    rows = torch.arange(len(keys), device=keys.device)
    drawn = tokens
    for attempt in count(1):
        outside, edge = _outside(scaled, mass, drawn, top_p, close)
        near[rows] |= edge
        if not outside.any():
            return tokens, near
        rows, scaled, mass = rows[outside], scaled[outside], mass[outside]
        drawn, again = _draw(scaled, mass, step_keys(keys[rows], attempt), close)
        tokens[rows] = drawn
        near[rows] |= again
    raise AssertionError("the most likely token is never outside")


def _draw(scaled: Tensor, mass: Tensor, keys: Tensor, close: float) -> tuple[Tensor, Tensor]:
    """The largest of log-probability plus Gumbel noise, first among blocks of tokens, then in the block.

    A draw in proportion to probability that, unlike an inverse transform, depends on no order.
    """
    n, size = scaled.shape
    whole = size - size % _BLOCK
    blocks = mass[:, :whole].unflatten(1, (-1, _BLOCK)).sum(dim=-1)
    if whole < size:
        blocks = torch.cat([blocks, mass[:, whole:].sum(dim=-1, keepdim=True)], dim=1)
    numbers = torch.arange(blocks.shape[1], device=keys.device).expand(n, -1)
    block, near = _winner(blocks.log(), numbers, step_keys(keys, 0), close)
    ids = block[:, None] * _BLOCK + torch.arange(_BLOCK, device=keys.device)
    inside = ids.clamp(max=size - 1)
    logits = scaled.gather(1, inside).masked_fill(ids >= size, -torch.inf)
    place, also_near = _winner(logits, ids, step_keys(keys, 1), close)
    return ids.gather(1, place[:, None]).squeeze(1), near | also_near


def _winner(logits: Tensor, ids: Tensor, keys: Tensor, close: float) -> tuple[Tensor, Tensor]:
    """Which of logits [n, k] comes in first, and whether another comes in with it."""
    raced = logits.double() + gumbel(keys, ids)
    first = raced.topk(min(2, raced.shape[1]), dim=-1)
    if raced.shape[1] == 1:
        return first.indices[:, 0], torch.zeros_like(keys, dtype=torch.bool)
    return first.indices[:, 0], first.values[:, 0] - first.values[:, 1] < close


def _outside(
    scaled: Tensor, mass: Tensor, tokens: Tensor, top_p: float, close: float
) -> tuple[Tensor, Tensor]:
    """Whether more likely tokens make up top_p already, and whether rounding could say otherwise.

    The tokens that rounding could make more likely are counted first; few rows need a closer look.
    """
    own = scaled.gather(1, tokens[:, None])
    most = _mass_of(scaled > own - close, mass) - mass.gather(1, tokens[:, None]).squeeze(1)
    outside, edge = torch.zeros_like(tokens, dtype=torch.bool), torch.zeros_like(tokens, dtype=torch.bool)
    unsure = (most >= top_p - close / 2).nonzero().squeeze(1)
    if len(unsure):
        scaled, mass, own = scaled[unsure], mass[unsure], own[unsure]
        earlier = torch.arange(scaled.shape[1], device=tokens.device) < tokens[unsure, None]
        above = _mass_of((scaled > own) | ((scaled == own) & earlier), mass)
        least = _mass_of(scaled > own + close, mass)
        outside[unsure] = above >= top_p
        edge[unsure] = (above < top_p) | (least < top_p + close / 2)
    return outside, edge


def _mass_of(which: Tensor, mass: Tensor) -> Tensor:
    return torch.where(which, mass, 0.0).sum(dim=-1)
