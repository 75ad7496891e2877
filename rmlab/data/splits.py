"""Splits by prompt group: validation prompts, and folds of cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from rmlab.data.prompts import hash_share
from rmlab.errors import InputError


def validation_groups(groups: Sequence[str], fraction: float, seed: int) -> frozenset[str]:
    """The groups that are kept for validation: those with the smallest hashes.

    At least one group is kept and at least one is left for training. Most prompts are their own group.
    """
    return _smallest(tuple(groups), fraction, seed)


@lru_cache(maxsize=4)
def _smallest(groups: tuple[str, ...], fraction: float, seed: int) -> frozenset[str]:
    """Cached, as one process may fit many heads on the same prompts."""
    distinct = sorted(set(groups), key=lambda g: hash_share(g, f"validation-{seed}"))
    if len(distinct) < 2:
        raise InputError(f"{len(distinct)} train prompts: at least 2 are needed to keep one for validation")
    n = int(np.clip(round(fraction * len(distinct)), 1, len(distinct) - 1))
    return frozenset(distinct[:n])


def folds_of_groups(groups: Sequence[str], k: int, seed: int) -> dict[str, int]:
    """The fold, 0 to k-1, of each group. Sizes differ by at most one: groups are dealt in order of hashes."""
    distinct = sorted(set(groups), key=lambda group: hash_share(group, f"fold-{seed}"))
    if len(distinct) < k:
        raise InputError(
            f"{k} folds need {k} groups of prompts and there are {len(distinct)}; "
            "lower crossval.folds, or set crossval.folds=null"
        )
    return {group: place % k for place, group in enumerate(distinct)}
