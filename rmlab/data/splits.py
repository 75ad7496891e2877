"""Validation prompts: cut from the train prompts, by group, never by pair."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from rmlab.data.prompts import hash_share
from rmlab.errors import InputError


def validation_groups(groups: Sequence[str], fraction: float, seed: int) -> frozenset[str]:
    """The share of the groups with the smallest hashes: at least one, and at least one is left to train.

    Most prompts are a group of their own, which has the prompt's id.
    """
    return _smallest(tuple(groups), fraction, seed)


@lru_cache(maxsize=4)
def _smallest(groups: tuple[str, ...], fraction: float, seed: int) -> frozenset[str]:
    """Known already where one process fits many heads on the same prompts."""
    distinct = sorted(set(groups), key=lambda g: hash_share(g, f"validation-{seed}"))
    if len(distinct) < 2:
        raise InputError(f"{len(distinct)} train prompts: at least 2 are needed to keep one for validation")
    n = int(np.clip(round(fraction * len(distinct)), 1, len(distinct) - 1))
    return frozenset(distinct[:n])
