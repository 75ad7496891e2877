"""Choosing tokens: temperature and exact top-p without sorting the whole vocabulary."""

from __future__ import annotations

import torch
from torch import Tensor

_HEADS = (128, 1024, 8192)  # most likely tokens looked at first, then all of them
_CLOSE_LOGITS = 1e-4  # what rounding can move logits by in float32, when batches differ
_CLOSE_MASS = 2e-5  # the same for cumulative probabilities


def choose(logits: Tensor, uniform: Tensor, temperature: float, top_p: float) -> tuple[Tensor, Tensor]:
    """logits [n, V], uniform [n] in [0, 1) -> token ids [n], by inverse transform, and near ties [n].

    Tokens are kept in order of probability up to the first that brings the mass to top_p,
    as in Holtzman et al. 2020, and drawn in proportion. A near tie is a choice that rounding could turn:
    a draw at the border of two tokens, or a token as likely as its neighbour in the order.
    """
    if temperature == 0:
        top = logits.float().topk(min(2, logits.shape[-1]), dim=-1).values
        return logits.argmax(dim=-1), top[:, 0] - top[:, -1] < _CLOSE_LOGITS
    scaled = logits.float() / temperature if temperature != 1 else logits.float()
    if top_p >= 1:
        return _draw(torch.softmax(scaled, dim=-1).double().cumsum(dim=-1), uniform)
    return _top_p(scaled, scaled.logsumexp(dim=-1, keepdim=True), uniform, top_p, _HEADS)


def _top_p(
    scaled: Tensor, total: Tensor, uniform: Tensor, top_p: float, heads: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """Looks at the most likely tokens only; rows whose mass lies wider look at more of them."""
    size = heads[0] if heads and heads[0] < scaled.shape[-1] else scaled.shape[-1]
    top, ids = scaled.topk(size, dim=-1)
    cumulative = (top - total).exp().double().cumsum(dim=-1)
    chosen, close = _nucleus(top, cumulative, ids, uniform, top_p)
    wide = cumulative[:, -1] < top_p
    if size < scaled.shape[-1] and wide.any():
        chosen[wide], close[wide] = _top_p(scaled[wide], total[wide], uniform[wide], top_p, heads[1:])
    return chosen, close


def _nucleus(
    top: Tensor, cumulative: Tensor, ids: Tensor, uniform: Tensor, top_p: float
) -> tuple[Tensor, Tensor]:
    """top, cumulative [n, k]: logits and mass of the k most likely tokens in order."""
    last = (cumulative < top_p).sum(dim=-1, keepdim=True).clamp(max=cumulative.shape[-1] - 1)
    kept = cumulative.gather(-1, last)
    target = uniform.double()[:, None] * kept
    rank = torch.minimum(torch.searchsorted(cumulative, target, right=True), last)
    close = _at_border(cumulative, target, rank) | _like_a_neighbour(top, rank)
    edge = torch.stack([kept, kept - _mass(cumulative, last)]).sub_(top_p).abs_().amin(dim=0) < _CLOSE_MASS
    return ids.gather(-1, rank).squeeze(-1), (close | edge).squeeze(-1)


def _mass(cumulative: Tensor, rank: Tensor) -> Tensor:
    before = cumulative.gather(-1, (rank - 1).clamp(min=0))
    return cumulative.gather(-1, rank) - torch.where(rank > 0, before, 0.0)


def _at_border(cumulative: Tensor, target: Tensor, rank: Tensor) -> Tensor:
    """Whether the draw is next to where its token's share begins or ends; the very first border is none."""
    above = cumulative.gather(-1, rank) - target
    below = target - cumulative.gather(-1, (rank - 1).clamp(min=0))
    return (above < _CLOSE_MASS) | ((rank > 0) & (below < _CLOSE_MASS))


def _like_a_neighbour(top: Tensor, rank: Tensor) -> Tensor:
    mine = top.gather(-1, rank)
    before = top.gather(-1, (rank - 1).clamp(min=0)) - mine
    after = mine - top.gather(-1, (rank + 1).clamp(max=top.shape[-1] - 1))
    last = top.shape[-1] - 1
    return ((rank > 0) & (before < _CLOSE_LOGITS)) | ((rank < last) & (after < _CLOSE_LOGITS))


def _draw(cumulative: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    target = uniform.double()[:, None] * cumulative[:, -1:]
    rank = torch.searchsorted(cumulative, target, right=True).clamp(max=cumulative.shape[-1] - 1)
    return rank.squeeze(-1), _at_border(cumulative, target, rank).squeeze(-1)
