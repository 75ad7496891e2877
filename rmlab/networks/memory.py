"""How many samples a device has room for."""

from __future__ import annotations

from typing import Any

import torch

from rmlab.errors import InputError

_CPU_GIB = 2.0
_GPU_SHARE = 0.4  # of the device's memory; weights, logits and activations take the rest
_GIB = 2**30


def rows_that_fit(model: Any, tokens: int, gib: float | None) -> int:
    """Rows of so many tokens whose keys, values and logits fill the budget; at least one."""
    budget = (gib or _default_gib(model.device)) * _GIB
    return max(1, int(budget / (tokens * _cache_bytes(model) + _logit_bytes(model.config))))


def _default_gib(device: Any) -> float:
    if device.type != "cuda":
        return _CPU_GIB
    return _GPU_SHARE * torch.cuda.get_device_properties(device).total_memory / _GIB


def _cache_bytes(model: Any) -> int:
    """Of one token's keys and values in all layers."""
    text = model.config.get_text_config(decoder=True)
    if not getattr(text, "num_attention_heads", None):
        raise InputError(
            f"{model.config.model_type} models keep no keys and values; use sampler=vllm for them"
        )
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return 2 * text.num_hidden_layers * heads * width * model.dtype.itemsize


def _logit_bytes(config: Any) -> int:
    """Of one row's logits: as computed, in float32, and in order."""
    return 12 * int(config.get_text_config(decoder=True).vocab_size)
