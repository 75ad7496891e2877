"""Draws tokens with a temperature and exact top-p, without sorting; random numbers depend on sample and step.

A token is drawn from the whole vocabulary, and drawn again while it is outside the most likely ones that make
up top_p. To see whether it is, the blocks of the vocabulary are read that hold a more likely one; sorting
would take many passes.
"""

from __future__ import annotations

from itertools import count
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from rmlab.storage.digest import digest

_INCREMENT = -7046029254386353131  # 0x9E3779B97F4A7C15, of splitmix64, as a signed number
_FIRST, _SECOND = -4658895280553007687, -7723592293110705685  # multipliers of splitmix64
_BLOCK = 256  # tokens, about the square root of a vocabulary's size
# Bounds on the effect of batching on logits, by their type: at least, and as a share of the row's largest
# logit; on a probability mass it is less.
_CLOSE = {torch.float32: (1e-4, 0.0), torch.bfloat16: (6e-2, 2**-7), torch.float16: (1e-2, 2**-10)}


class DrawnTokens(NamedTuple):
    """Tokens [n], their log-probabilities at temperature 1, and whether rounding could change the choice."""

    tokens: Tensor
    logprobs: Tensor
    near: Tensor


def choose(logits: Tensor, keys: Tensor, temperature: float, top_p: float) -> DrawnTokens:
    """Draws a token for each row: logits [n, V], keys [n] of the noise.

    Tokens are eligible in order of probability, equal ones in order of id, up to the first that brings their
    mass to top_p (Holtzman et al. 2020). A near tie is a choice that rounding could change: between two
    nearly equal candidates, or of a token at the boundary of the eligible mass.
    """
    least, share = _CLOSE.get(logits.dtype, _CLOSE[torch.float32])
    close = (share * logits.amax(dim=-1).float().abs()).clamp(min=least)
    if temperature == 0:
        top = logits.topk(min(2, logits.shape[-1]), dim=-1).values.float()
        tokens, near = logits.argmax(dim=-1), top[:, 0] - top[:, -1] < close
    else:
        scaled = logits if temperature == 1 else logits.float() / temperature
        vocabulary = _Vocabulary.of(scaled)
        tokens, near = _drawn(vocabulary, keys, top_p, close / min(temperature, 1.0))
        if temperature == 1:
            return DrawnTokens(tokens, vocabulary.at(tokens)[1].log(), near)
    logprobs = logits.log_softmax(dim=-1, dtype=torch.float32).gather(1, tokens[:, None]).squeeze(1)
    return DrawnTokens(tokens, logprobs, near)


class _Vocabulary(NamedTuple):
    """Logits over the temperature and probabilities, [n, blocks, _BLOCK]; the largest logit of each block."""

    logits: Tensor
    mass: Tensor
    tops: Tensor

    @staticmethod
    def of(logits: Tensor) -> _Vocabulary:
        """Takes logits [n, V]; the last block is filled up with tokens that are never drawn."""
        mass = logits.softmax(dim=-1, dtype=torch.float32)
        if missing := -logits.shape[1] % _BLOCK:
            logits, mass = pad(logits, (0, missing), value=-torch.inf), pad(mass, (0, missing))
        blocks = logits.unflatten(1, (-1, _BLOCK))
        return _Vocabulary(blocks, mass.unflatten(1, (-1, _BLOCK)), blocks.amax(dim=-1))

    def rows(self, which: Tensor) -> _Vocabulary:
        return _Vocabulary(*(part[which] for part in self))

    def at(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the logits and the probabilities of one token of each row, [n] float32."""
        places = tokens[:, None]
        logits, mass = (part.flatten(1).gather(1, places)[:, 0].float() for part in (self.logits, self.mass))
        return logits, mass


def _drawn(all_rows: _Vocabulary, keys: Tensor, top_p: float, close: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the first eligible draw of each row, and whether it or one before was a near tie."""
    tokens, near = _draw(all_rows, step_keys(keys, 0), close)
    if top_p >= 1:
        return tokens, near
    rows, left, drawn = torch.arange(len(keys), device=keys.device), all_rows, tokens
    for attempt in count(1):
        outside, edge = _outside(left, drawn, top_p, close)
        near[rows] |= edge
        if not outside.any():
            return tokens, near
        rows, left, close = rows[outside], left.rows(outside), close[outside]
        drawn, again = _draw(left, step_keys(keys[rows], attempt), close)
        tokens[rows] = drawn
        near[rows] |= again
    raise AssertionError("the most likely token is never outside")


def _draw(vocabulary: _Vocabulary, keys: Tensor, close: Tensor) -> tuple[Tensor, Tensor]:
    """Draws by the largest log-probability plus Gumbel noise, first a block of tokens, then a token in it.

    The draw is proportional to probability and, unlike inverse transform sampling, depends on no order.
    """
    n, n_blocks, _ = vocabulary.logits.shape
    numbers = torch.arange(n_blocks, device=keys.device).expand(n, -1)
    mass = vocabulary.mass.sum(dim=-1)
    block, near = _winner(mass.log(), numbers, step_keys(keys, 0), close)
    ids = block[:, None] * _BLOCK + torch.arange(_BLOCK, device=keys.device)
    logits = vocabulary.logits[torch.arange(n, device=keys.device), block]
    place, also_near = _winner(logits, ids, step_keys(keys, 1), close)
    return ids.gather(1, place[:, None]).squeeze(1), near | also_near


def _winner(logits: Tensor, ids: Tensor, keys: Tensor, close: Tensor | float) -> tuple[Tensor, Tensor]:
    """Returns the index of the largest noisy logit, [n], and whether another is close.

    logits, ids: [n, k]; close: [n], or one for all.
    """
    noisy = logits.double() + gumbel(keys, ids)
    top = noisy.topk(min(2, noisy.shape[1]), dim=-1)
    if noisy.shape[1] == 1:
        return top.indices[:, 0], torch.zeros_like(keys, dtype=torch.bool)
    return top.indices[:, 0], top.values[:, 0] - top.values[:, 1] < close


def _outside(vocabulary: _Vocabulary, tokens: Tensor, top_p: float, close: Tensor) -> tuple[Tensor, Tensor]:
    """Returns whether more likely tokens already make up top_p, and whether rounding could change that.

    First the mass of all tokens that could be more likely is computed; only few rows need more than this.
    """
    own, own_mass = vocabulary.at(tokens)
    most = _mass_above(vocabulary, own - close) - own_mass
    outside, edge = torch.zeros_like(tokens, dtype=torch.bool), torch.zeros_like(tokens, dtype=torch.bool)
    unsure = (most >= top_p - close / 2).nonzero().squeeze(1)
    if len(unsure):
        few, own, close = vocabulary.rows(unsure), own[unsure], close[unsure]
        above = _mass_above(few, own) + _mass_of_equal(few, own, tokens[unsure])
        least = _mass_above(few, own + close)
        outside[unsure] = above >= top_p
        edge[unsure] = (above < top_p) | (least < top_p + close / 2)
    return outside, edge


def _mass_above(vocabulary: _Vocabulary, bound: Tensor) -> Tensor:
    """Returns the mass of tokens whose logit is above the bound [n] of their row, [n].

    Only blocks whose largest logit is above it are read.
    """
    row, block = (vocabulary.tops > bound[:, None]).nonzero(as_tuple=True)
    counted = vocabulary.logits[row, block] > bound[row, None]
    mass = torch.zeros_like(vocabulary.tops, dtype=torch.float32)
    mass[row, block] = torch.where(counted, vocabulary.mass[row, block], 0.0).sum(dim=-1)
    return mass.sum(dim=-1)


def _mass_of_equal(vocabulary: _Vocabulary, own: Tensor, tokens: Tensor) -> Tensor:
    """Returns the mass of tokens whose logit equals the row's own [n] and whose id is smaller, [n]."""
    logits, mass = vocabulary.logits.flatten(1), vocabulary.mass.flatten(1)
    earlier = torch.arange(logits.shape[1], device=tokens.device) < tokens[:, None]
    return torch.where((logits == own[:, None]) & earlier, mass, 0.0).sum(dim=-1)


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
