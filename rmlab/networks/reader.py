"""Reading texts for their hidden states: batches of like length, each shared prompt read once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from rmlab.halving import Halving
from rmlab.networks.batches import Batch, batches
from rmlab.networks.padding import pad_left, pad_right
from rmlab.text import Encoded

R = TypeVar("R")
_CPU_TOKENS = 2048  # more are no faster, and leave the caches
_GPU_TOKENS = 65536


class Reader:
    """tokens: of a batch, padding included; null: by device. causal: no token looks at a later one."""

    def __init__(self, model: Any, pad: int, causal: bool, tokens: int | None, hint: str) -> None:
        self.model, self.pad, self.causal = model, pad, causal
        self.tokens = tokens or (_GPU_TOKENS if model.device.type == "cuda" else _CPU_TOKENS)
        self.fits = Halving(10**9, hint)

    def read(
        self, rows: Sequence[Encoded], layers: Sequence[int], use: Callable[[list[Tensor], Tensor], R]
    ) -> Iterator[tuple[list[int], R]]:
        """(numbers of rows, what `use` makes of them) for batch after batch, in an order of its own.

        use gets the states [n, t, d] of each layer, 0 the input embeddings and -1 the last, and the mask
        [n, t] of the response's tokens, or of the prompt's last token where the response is empty.
        """
        for batch in batches(rows, self.tokens, self.causal):

            def run(numbers: list[int], batch: Batch = batch) -> R:
                chosen = [rows[i] for i in numbers]
                with torch.inference_mode():
                    return use(
                        *(self._shared(chosen, layers) if batch.shared else self._whole(chosen, layers))
                    )

            yield from self.fits.batches(batch.rows, run)

    def _whole(self, rows: list[Encoded], layers: Sequence[int]) -> tuple[list[Tensor], Tensor]:
        """Prompt and response in one pass, padded on the right, where a causal model never looks."""
        ids, mask = pad_right([r.prompt + r.response for r in rows], self.pad, self.model.device)
        seen = None if self.causal or bool(mask.all()) else mask
        output = self.model(input_ids=ids, attention_mask=seen, use_cache=False, **_wanted(layers))
        starts = [len(r.prompt) - (0 if r.response else 1) for r in rows]
        before = torch.arange(ids.shape[1])[None, :] < torch.tensor(starts)[:, None]
        return _chosen(output, layers), mask.masked_fill(before.to(mask.device), 0)

    def _shared(self, rows: list[Encoded], layers: Sequence[int]) -> tuple[list[Tensor], Tensor]:
        """Each distinct prompt but its last token in one pass, that token and the response in another."""
        heads = list(dict.fromkeys(tuple(r.prompt[:-1]) for r in rows))
        place = {head: k for k, head in enumerate(heads)}
        device = self.model.device
        expand = torch.tensor([place[tuple(r.prompt[:-1])] for r in rows], device=device)
        tails, mask = pad_right([[r.prompt[-1], *r.response] for r in rows], self.pad, device)
        cache, seen = self._read_heads(heads)
        cache.batch_select_indices(expand)
        seen = torch.cat([seen[expand], mask], dim=1)
        output = self.model(
            input_ids=tails,
            attention_mask=seen,
            position_ids=(seen.cumsum(dim=1) - 1).clamp(min=0)[:, -tails.shape[1] :],
            past_key_values=cache,
            use_cache=True,
            **_wanted(layers),
        )
        mask[:, 0] = torch.tensor([0 if r.response else 1 for r in rows])
        return _chosen(output, layers), mask

    def _read_heads(self, heads: Sequence[Sequence[int]]) -> tuple[Any, Tensor]:
        ids, mask = pad_left(heads, self.pad, self.model.device)
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        output = self.model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True)
        return output.past_key_values, mask


def _wanted(layers: Sequence[int]) -> dict[str, bool]:
    return {"output_hidden_states": any(layer != -1 for layer in layers)}


def _chosen(output: Any, layers: Sequence[int]) -> list[Tensor]:
    return [output.last_hidden_state if k == -1 else output.hidden_states[k] for k in layers]


def pool(states: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """[n, t, d] and [n, t] -> [n, d] float32: the mean over the mask, or the mask's last position."""
    if pooling == "mean":
        weights = mask.to(torch.float32)[:, :, None]
        return (states.float() * weights).sum(dim=1) / weights.sum(dim=1)
    return states[torch.arange(len(states), device=states.device), last_positions(mask)].float()


def last_positions(mask: Tensor) -> Tensor:
    """[n, t] -> [n] where each row's mask is 1 for the last time."""
    return (mask * torch.arange(mask.shape[1], device=mask.device)).argmax(dim=1)
