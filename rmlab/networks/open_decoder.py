"""Which decoder a model gets: the shared one where it gives the model's own numbers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rmlab.networks.decoder import Decoder, ExpandedDecoder, SharedDecoder
from rmlab.networks.trust import agree, attends_to_all

_PROMPTS, _PLACES, _STEPS = [[5, 6, 7], [8, 9]], [0, 1, 1], [[3, 4, 6], [7, 8, 9]]


def open_decoder(model: Any, pad: int, longest: int, shares: bool) -> Decoder:
    """longest: prompt and response together, in tokens; shares: what may_share found, once a model."""
    if shares and attends_to_all(model.config, longest):
        return SharedDecoder(model, pad)
    return ExpandedDecoder(model, pad)


def may_share(model: Any, pad: int) -> bool:
    """Tries two prompts, three rows and two steps against whole texts."""
    if not attends_to_all(model.config, 5):
        return False

    def shared() -> Tensor:
        decoder = SharedDecoder(model, pad)
        found = decoder.start(_PROMPTS, torch.tensor(_PLACES))
        for tokens in _STEPS:
            found = decoder.step(torch.tensor(tokens, device=model.device))
        return found

    def usual() -> Tensor:
        texts = [_PROMPTS[place] + [s[k] for s in _STEPS] for k, place in enumerate(_PLACES)]
        return torch.stack(
            [model(input_ids=torch.tensor([t], device=model.device)).logits[0, -1] for t in texts]
        )

    return agree(shared, usual, model.dtype)
