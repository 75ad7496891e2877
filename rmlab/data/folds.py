"""Folds of cross-validation: whole groups of prompts, never a pair or a prompt of one apart from the rest."""

from __future__ import annotations

from collections.abc import Sequence

from rmlab.data.prompts import hash_share
from rmlab.errors import InputError


def folds_of_groups(groups: Sequence[str], k: int, seed: int) -> dict[str, int]:
    """Group -> fold, 0 to k-1: dealt in the order of their hashes, so folds differ by at most one group."""
    distinct = sorted(set(groups), key=lambda group: hash_share(group, f"fold-{seed}"))
    if len(distinct) < k:
        raise InputError(
            f"{k} folds need {k} groups of prompts and there are {len(distinct)}; "
            "lower crossval.folds, or set crossval.folds=null"
        )
    return {group: place % k for place, group in enumerate(distinct)}
