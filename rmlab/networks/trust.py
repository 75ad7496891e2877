"""Whether a model may be run with shared prompts: by what it declares, and by trying it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_TOLERANCE = {torch.float32: 1e-3, torch.float16: 1e-2, torch.bfloat16: 3e-2}  # of the norm


def attends_to_all(config: Any, longest: int) -> bool:
    """Whether every layer looks at every earlier token, for texts so long."""
    text = config.get_text_config(decoder=True)
    kinds = set(getattr(text, "layer_types", None) or ["full_attention"])
    if kinds == {"full_attention"}:
        window = getattr(text, "sliding_window", None)
        return window is None or longest <= window or getattr(text, "use_sliding_window", True) is False
    window = getattr(text, "sliding_window", None)
    return kinds == {"full_attention", "sliding_attention"} and window is not None and longest <= window


def agree(shared: Callable[[], Tensor], usual: Callable[[], Tensor], dtype: torch.dtype) -> bool:
    """Tries both ways. A model that does not go through transformers' attention interface, or adds
    something of its own to attention, fails here, and is run the plain way."""
    try:
        with torch.inference_mode():
            found, expected = shared().float(), usual().float()
    except Exception:  # whatever a foreign model's code raises at a cache that is not its own
        return False
    return bool((found - expected).norm() <= _TOLERANCE[dtype] * expected.norm())
