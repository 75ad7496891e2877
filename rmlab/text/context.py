"""How much a model can read at once."""

from __future__ import annotations

from typing import Any


def context_length(config: Any, tokenizer: Any) -> int:
    """The longest input of a model, by its configuration and its tokenizer."""
    sizes = [getattr(config, name, None) for name in ("max_position_embeddings", "n_positions")]
    sizes.append(getattr(tokenizer, "model_max_length", None))
    known = [int(s) for s in sizes if s and 0 < s < 10**7]
    return min(known) if known else 4096
