"""Choosing tokens: temperature and exact top-p without sorting the whole vocabulary."""

from __future__ import annotations

import torch
from torch import Tensor

from rmlab.samplers.noise import gumbel

_HEADS = (128, 1024, 8192)  # most likely tokens looked at first, then all of them
_CLOSE = 1e-4  # what rounding can move logits by in float32, when batches differ; a mass moves by less


def choose(
    logits: Tensor, keys: Tensor, temperature: float, top_p: float, total: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """logits [n, V], keys [n] of the noise -> token ids [n] and near ties [n].

    total [n]: the logsumexp of the logits, where it is known.

    Tokens are kept in order of probability up to the first that brings the mass to top_p (Holtzman et al.
    2020). The one with the largest logit plus Gumbel noise wins: a draw in proportion to probability that,
    unlike an inverse transform, depends on no order. A near tie is a choice that rounding could turn: two
    tokens that come in together, or a winner at the edge of the kept mass.
    """
    if temperature == 0:
        top = logits.float().topk(min(2, logits.shape[-1]), dim=-1).values
        return logits.argmax(dim=-1), top[:, 0] - top[:, -1] < _CLOSE
    scaled = logits.float() / temperature if temperature != 1 else logits.float()
    close = _CLOSE / min(temperature, 1.0)
    if top_p >= 1:
        ids = torch.arange(logits.shape[-1], device=logits.device).expand(logits.shape)
        return _race(scaled, torch.zeros_like(scaled), ids, keys, top_p, close)
    if total is None or temperature != 1:
        total = scaled.logsumexp(dim=-1)
    return _top_p(scaled, total[:, None], keys, top_p, close, _HEADS)


def _top_p(
    scaled: Tensor, total: Tensor, keys: Tensor, top_p: float, close: float, heads: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """Looks at the most likely tokens only; rows whose mass lies wider look at more of them."""
    size = heads[0] if heads and heads[0] < scaled.shape[-1] else scaled.shape[-1]
    top, ids = scaled.topk(size, dim=-1)
    mass = (top - total).exp().double()
    cumulative = mass.cumsum(dim=-1)
    wide = cumulative[:, -2] < top_p + close / 2  # the first token that is left out is seen, too
    if size == scaled.shape[-1] or not wide.any():
        return _race(top, cumulative - mass, ids, keys, top_p, close)
    chosen, near = torch.empty_like(keys), torch.empty_like(wide)
    narrow = ~wide
    chosen[narrow], near[narrow] = _race(
        top[narrow], (cumulative - mass)[narrow], ids[narrow], keys[narrow], top_p, close
    )
    chosen[wide], near[wide] = _top_p(scaled[wide], total[wide], keys[wide], top_p, close, heads[1:])
    return chosen, near


def _race(
    logits: Tensor, before: Tensor, ids: Tensor, keys: Tensor, top_p: float, close: float
) -> tuple[Tensor, Tensor]:
    """logits, ids [n, k]; before [n, k]: the mass of more likely tokens.

    perhaps and surely: what rounding may count among the kept tokens, and what it cannot take away.
    """
    raced = logits.double() + gumbel(keys, ids)
    kept = before < top_p
    winner = raced.masked_fill(~kept, -torch.inf).argmax(dim=-1)
    least = logits.masked_fill(~kept, torch.inf).amin(dim=-1, keepdim=True)
    next_ = logits.masked_fill(kept, -torch.inf).amax(dim=-1, keepdim=True)
    perhaps = (before < top_p + close / 2) | (logits >= least - close)
    surely = (before < top_p - close / 2) & (logits > next_ + close)
    ahead = raced.masked_fill(~perhaps, -torch.inf).topk(min(2, ids.shape[-1]), dim=-1)
    near = (ahead.indices[:, 0] != winner) | ~surely.gather(-1, winner[:, None]).squeeze(-1)
    if ids.shape[-1] > 1:
        near |= ahead.values[:, 0] - ahead.values[:, 1] < close
    return ids.gather(-1, winner[:, None]).squeeze(-1), near
