"""Hidden states of the response tokens of a batch, and their pooling.

Both passes return states [n, t, d] and a mask [n, t] of the tokens to pool: the response's,
or the prompt's last token where the response is empty.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rmlab.text import Encoded


def whole(model: Any, rows: list[Encoded], pad: int, layer: int) -> tuple[Tensor, Tensor]:
    """Prompt and response in one pass, padded on the right."""
    sequences = [r.prompt + r.response for r in rows]
    ids, mask = _pad_right(sequences, pad, model.device)
    output = model(input_ids=ids, attention_mask=mask, output_hidden_states=layer != -1)
    pooled = mask.clone()
    for k, row in enumerate(rows):
        pooled[k, : len(row.prompt) - (0 if row.response else 1)] = 0
    return _layer(output, layer), pooled


def with_shared_prompts(model: Any, rows: list[Encoded], pad: int, layer: int) -> tuple[Tensor, Tensor]:
    """One pass over each distinct prompt but its last token, then one over that token and the response."""
    heads = list(dict.fromkeys(tuple(r.prompt[:-1]) for r in rows))
    place = {head: k for k, head in enumerate(heads)}
    expand = torch.tensor([place[tuple(r.prompt[:-1])] for r in rows], device=model.device)
    tails, tail_mask = _pad_right([[r.prompt[-1], *r.response] for r in rows], pad, model.device)
    cache, head_mask = _read_heads(model, heads, pad)
    mask = tail_mask
    if cache is not None:
        cache.batch_select_indices(expand)
        mask = torch.cat([head_mask[expand], tail_mask], dim=1)
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, -tails.shape[1] :]
    output = model(
        input_ids=tails,
        attention_mask=mask,
        position_ids=positions,
        past_key_values=cache,
        use_cache=cache is not None,
        output_hidden_states=layer != -1,
    )
    pooled = tail_mask.clone()
    for k, row in enumerate(rows):
        pooled[k, 0] = 0 if row.response else 1
    return _layer(output, layer), pooled


def _read_heads(model: Any, heads: list[tuple[int, ...]], pad: int) -> tuple[Any, Tensor]:
    """Cache and mask of the prompts, padded on the left; no cache where all are empty."""
    longest = max(map(len, heads))
    ids = torch.full((len(heads), longest), pad, device=model.device)
    mask = torch.zeros_like(ids)
    for k, head in enumerate(heads):
        ids[k, longest - len(head) :] = torch.tensor(head, dtype=ids.dtype, device=model.device)
        mask[k, longest - len(head) :] = 1
    if longest == 0:
        return None, mask
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    output = model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True)
    return output.past_key_values, mask


def _pad_right(sequences: list[list[int]], pad: int, device: Any) -> tuple[Tensor, Tensor]:
    longest = max(map(len, sequences))
    ids = torch.full((len(sequences), longest), pad, device=device)
    mask = torch.zeros_like(ids)
    for k, sequence in enumerate(sequences):
        ids[k, : len(sequence)] = torch.tensor(sequence, device=device)
        mask[k, : len(sequence)] = 1
    return ids, mask


def _layer(output: Any, layer: int) -> Tensor:
    return output.last_hidden_state if layer == -1 else output.hidden_states[layer]


def pool(states: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """[n, t, d] and [n, t] -> [n, d]: the mean over the mask, or the mask's last position."""
    if pooling == "mean":
        weights = mask.to(torch.float32)[:, :, None]
        return (states.float() * weights).sum(dim=1) / weights.sum(dim=1)
    positions = torch.arange(mask.shape[1], device=mask.device)
    last = (mask * positions).argmax(dim=1)
    return states[torch.arange(len(states), device=states.device), last]
