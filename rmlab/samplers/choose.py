"""Choosing tokens: temperature and exact top-p without sorting the whole vocabulary."""

from __future__ import annotations

import torch
from torch import Tensor

_HEAD = 128  # tokens looked at first; rows whose top-p mass is wider are sorted whole


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
    total = scaled.logsumexp(dim=-1, keepdim=True)
    top, ids = scaled.topk(min(_HEAD, scaled.shape[-1]), dim=-1)
    cumulative = (top - total).exp().double().cumsum(dim=-1)
    wide = cumulative[:, -1] < top_p
    chosen = _nucleus(cumulative, ids, uniform, top_p)
    if wide.any():
        sorted_logits, sorted_ids = scaled[wide].sort(dim=-1, descending=True)
        mass = (sorted_logits - total[wide]).exp().double().cumsum(dim=-1)
        chosen[wide] = _nucleus(mass, sorted_ids, uniform[wide], top_p)
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
