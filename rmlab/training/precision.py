"""What a training computes in."""

from __future__ import annotations

from typing import Any

from rmlab.errors import InputError


def training_precision(precision: str, dtype: str, device: Any) -> str:
    """float32 or bfloat16. auto: bfloat16 where dtype says so and a GPU has it; a CPU gains nothing by it.

    float16 is no choice: its gradients underflow unless the loss is scaled, which bfloat16 does not need.
    """
    import torch

    has_bfloat16 = device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
    if precision == "auto":
        return "bfloat16" if dtype == "bfloat16" and device.type == "cuda" and has_bfloat16 else "float32"
    if precision == "bfloat16" and not has_bfloat16:
        raise InputError("this GPU does not compute in bfloat16; set sft.precision=float32")
    return precision
