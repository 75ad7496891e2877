"""Trials by which a faster way to run a model is compared with the model's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

_TOLERANCE = {torch.float32: 1e-3, torch.float16: 1e-2, torch.bfloat16: 3e-2}  # relative to the norm
_STEP, _FIRST, _KINDS = 37, 3, 997  # of the tokens of a trial


def trial_tokens(model: Any, lengths: Sequence[int]) -> list[list[int]]:
    """Returns texts of these lengths, whose tokens differ as those of a real text do.

    States of texts that repeat a few tokens grow in some models until rounding in bfloat16 hides all else.
    """
    kinds = max(1, min(_KINDS, model.config.get_text_config(decoder=True).vocab_size - _FIRST))
    starts = [sum(lengths[:k]) for k in range(len(lengths))]
    return [
        [_FIRST + (start + i) * _STEP % kinds for i in range(n)]
        for start, n in zip(starts, lengths, strict=True)
    ]


def agree(faster: Callable[[], Tensor], usual: Callable[[], Tensor], dtype: torch.dtype) -> bool:
    """Returns whether two ways to compute states agree.

    They do not for models that bypass transformers' attention interface or add something of their own to
    attention; these are run the usual way.
    """
    try:
        with torch.inference_mode():
            found, expected = faster().float(), usual().float()
    except Exception:  # a model's own code may raise anything at what is not its own
        return False
    return bool((found - expected).norm() <= _TOLERANCE[dtype] * expected.norm())
