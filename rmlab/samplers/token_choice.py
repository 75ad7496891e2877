"""Draws tokens with a temperature and exact top-p, without sorting; random numbers depend on sample and step.

A token is drawn from the whole vocabulary, and drawn again while it is outside the most likely ones that make
up top_p. To see whether it is takes one pass over the probabilities; sorting would take many.
"""

from __future__ import annotations

from itertools import count

import torch
from torch import Tensor

from rmlab.storage.digest import digest

_INCREMENT = -7046029254386353131  # 0x9E3779B97F4A7C15, of splitmix64, as a signed number
_FIRST, _SECOND = -4658895280553007687, -7723592293110705685  # multipliers of splitmix64
_BLOCK = 256  # tokens, about the square root of a vocabulary's size
_CLOSE = 1e-4  # bound on the effect of batching on float32 logits; on a probability mass it is less


def choose(logits: Tensor, keys: Tensor, temperature: float, top_p: float) -> tuple[Tensor, Tensor]:
    """Draws a token for each row: logits [n, V], keys [n] of the noise -> token ids [n], near ties [n] bool.

    Tokens are eligible in order of probability, equal ones in order of id, up to the first that brings their
    mass to top_p (Holtzman et al. 2020). A near tie is a choice that rounding could change: between two
    nearly equal candidates, or of a token at the boundary of the eligible mass.
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
    """Draws by the largest log-probability plus Gumbel noise, first a block of tokens, then a token in it.

    The draw is proportional to probability and, unlike inverse transform sampling, depends on no order.
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
    """Returns the index of the largest noisy logit, [n], and whether another is close.

    logits, ids: [n, k].
    """
    noisy = logits.double() + gumbel(keys, ids)
    top = noisy.topk(min(2, noisy.shape[1]), dim=-1)
    if noisy.shape[1] == 1:
        return top.indices[:, 0], torch.zeros_like(keys, dtype=torch.bool)
    return top.indices[:, 0], top.values[:, 0] - top.values[:, 1] < close


def _outside(
    scaled: Tensor, mass: Tensor, tokens: Tensor, top_p: float, close: float
) -> tuple[Tensor, Tensor]:
    """Returns whether more likely tokens already make up top_p, and whether rounding could change that.

    First the mass of all tokens that could be more likely is computed; only few rows need more than this.
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
    """Returns the total mass of the marked tokens, [n]."""
    return torch.where(which, mass, 0.0).sum(dim=-1)


def sample_key(seed: int, prompt_id: str, index: int) -> int:
    """Returns 64 bits that identify a sample, as a signed number for torch."""
    key = int(digest([seed, "noise", prompt_id, index])[:16], 16)
    return key - 2**64 if key >= 2**63 else key


def step_keys(keys: Tensor, step: int) -> Tensor:
    """Returns the keys of a step from those of samples, [n] int64."""
    return _mixed(keys + torch.tensor(step + 1, device=keys.device) * _INCREMENT)


def gumbel(keys: Tensor, ids: Tensor) -> Tensor:
    """Returns Gumbel noise -log(-log u), u uniform by key and id, [n, k] float64. keys: [n]; ids: [n, k]."""
    bits = _mixed(keys[:, None] + (ids + 1) * _INCREMENT)
    uniform = (((bits >> 11) & (2**53 - 1)).double() + 0.5) * 2.0**-53
    return uniform.log_().neg_().log_().neg_()


def _mixed(z: Tensor) -> Tensor:
    """Applies the finaliser of splitmix64 (Steele et al. 2014); int64 products wrap, shifts are logical."""
    z = (z ^ ((z >> 30) & (2**34 - 1))) * _FIRST
    z = (z ^ ((z >> 27) & (2**37 - 1))) * _SECOND
    return z ^ ((z >> 31) & (2**33 - 1))
