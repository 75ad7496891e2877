"""Which decoder a model gets: the shared one where it gives the model's own numbers."""

from __future__ import annotations

from typing import Any

import torch

from rmlab.networks.decoder import Decoder, ExpandedDecoder, SharedDecoder

_AGREES = {torch.float32: 1e-3, torch.float16: 1e-2, torch.bfloat16: 3e-2}  # of the logits' norm


def open_decoder(model: Any, pad: int, longest: int) -> Decoder:
    """longest: prompt and response together, in tokens."""
    if _attends_to_all(model.config, longest) and _agrees(model, pad):
        return SharedDecoder(model, pad)
    return ExpandedDecoder(model, pad)


def _attends_to_all(config: Any, longest: int) -> bool:
    """Whether every layer looks at every earlier token, for texts so long."""
    text = config.get_text_config(decoder=True)
    kinds = set(getattr(text, "layer_types", None) or ["full_attention"])
    window = getattr(text, "sliding_window", None)
    return kinds == {"full_attention"} or (
        kinds <= {"full_attention", "sliding_attention"} and window is not None and longest <= window
    )


def _agrees(model: Any, pad: int) -> bool:
    """Tries two prompts of three rows for two steps against the model as it is.

    A model that does not go through transformers' attention interface, or adds something of its own to
    attention, fails here, and is decoded the plain way.
    """
    prompts, places, steps = [[5, 6, 7], [8, 9]], torch.tensor([0, 1, 1]), [[3, 4, 6], [7, 8, 9]]
    decoder = SharedDecoder(model, pad)
    try:
        with torch.inference_mode():
            found = decoder.start(prompts, places)
            for tokens in steps:
                found = decoder.step(torch.tensor(tokens, device=model.device))
            for k, place in enumerate(places.tolist()):
                whole = torch.tensor([prompts[place] + [s[k] for s in steps]], device=model.device)
                expected = model(input_ids=whole).logits[0, -1].float()
                if not (found[k].float() - expected).norm() <= _AGREES[model.dtype] * expected.norm():
                    return False
    except Exception:  # whatever a foreign model's code raises at a cache that is not its own
        return False
    return True
