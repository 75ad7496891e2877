"""Validation prompts: cut from the train prompts, by prompt, never by pair."""

from __future__ import annotations

import numpy as np

from rmlab.data.prompts import hash_share
from rmlab.errors import InputError


def validation_prompts(prompt_ids: list[str], fraction: float, seed: int) -> set[str]:
    """The share of the prompts with the smallest hashes: at least one, and at least one is left to train."""
    distinct = sorted(set(prompt_ids), key=lambda p: hash_share(p, f"validation-{seed}"))
    if len(distinct) < 2:
        raise InputError(f"{len(distinct)} train prompts: at least 2 are needed to keep one for validation")
    n = int(np.clip(round(fraction * len(distinct)), 1, len(distinct) - 1))
    return set(distinct[:n])
