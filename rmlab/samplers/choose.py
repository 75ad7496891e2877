"""Choosing tokens: temperature and exact top-p without sorting the whole vocabulary."""

from __future__ import annotations

import torch
from torch import Tensor

_HEADS = (128, 1024, 8192)  # most likely tokens looked at first, then all of them


def choose(logits: Tensor, uniform: Tensor, temperature: float, top_p: float) -> Tensor:
    """logits [n, V], uniform [n] in [0, 1) -> token ids [n], by inverse transform.

    Tokens are kept in order of probability up to the first that brings the mass to top_p,
    as in Holtzman et al. 2020, and drawn in proportion.
    """
    if temperature == 0:
        return logits.argmax(dim=-1)
    scaled = logits.float() / temperature
    if top_p >= 1:
        return _draw(torch.softmax(scaled, dim=-1).double().cumsum(dim=-1), uniform)
    return _top_p(scaled, scaled.logsumexp(dim=-1, keepdim=True), uniform, top_p, _HEADS)


def _top_p(scaled: Tensor, total: Tensor, uniform: Tensor, top_p: float, heads: tuple[int, ...]) -> Tensor:
    """Looks at the most likely tokens only; rows whose mass lies wider look at more of them."""
    size = heads[0] if heads and heads[0] < scaled.shape[-1] else scaled.shape[-1]
    top, ids = scaled.topk(size, dim=-1)
    cumulative = (top - total).exp().double().cumsum(dim=-1)
    chosen = _nucleus(cumulative, ids, uniform, top_p)
    wide = cumulative[:, -1] < top_p
    if size < scaled.shape[-1] and wide.any():
        chosen[wide] = _top_p(scaled[wide], total[wide], uniform[wide], top_p, heads[1:])
    return chosen


def _nucleus(cumulative: Tensor, ids: Tensor, uniform: Tensor, top_p: float) -> Tensor:
    """cumulative [n, k]: mass of the k most likely tokens in order."""
    last = (cumulative < top_p).sum(dim=-1, keepdim=True).clamp(max=cumulative.shape[-1] - 1)
    kept = cumulative.gather(-1, last)
    rank = torch.searchsorted(cumulative, uniform.double()[:, None] * kept, right=True)
    return ids.gather(-1, torch.minimum(rank, last)).squeeze(-1)


def _draw(cumulative: Tensor, uniform: Tensor) -> Tensor:
    target = uniform.double()[:, None] * cumulative[:, -1:]
    token = torch.searchsorted(cumulative, target, right=True).squeeze(-1)
    return token.clamp(max=cumulative.shape[-1] - 1)
