"""Splits by prompt group: test prompts, validation prompts, and folds of cross-validation.

All are decided by hashes of the groups' names, so that equal files are split alike on every machine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from rmlab.errors import InputError
from rmlab.storage.digest import digest

SPLITS = {"train": "train", "test": "test", "validation": "test", "eval": "test"}
_FEW = 20  # test prompts; intervals by resampling fewer are wide, and less sure than they say


def hash_share(name: str, salt: str) -> float:
    """A number in [0, 1) that depends only on the name of the prompt or group, and on the salt."""
    return int(digest([salt, name])[:13], 16) / 16**13


def given_split(given: Any, where: str) -> str:
    """The split that a row gives, as train or test, or "" where it gives none."""
    if given is None or given == "":
        return ""
    if not isinstance(given, str) or given not in SPLITS:
        raise InputError(f"{where}: split is {given!r}; use train or test")
    return SPLITS[given]


def drawn_splits(given: Sequence[str], groups: Sequence[str], test_fraction: float) -> list[str]:
    """The split of each prompt: the one that is given, or else one that is drawn for its whole group.

    Of the prompts without a split, round(test_fraction * n) are for testing; see `groups_for_testing`.
    """
    sizes = Counter(group for split, group in zip(given, groups, strict=True) if not split)
    tested = groups_for_testing(sizes, test_fraction)
    return [
        split or ("test" if group in tested else "train") for split, group in zip(given, groups, strict=True)
    ]


def groups_for_testing(sizes: Mapping[str, int], fraction: float) -> set[str]:
    """The groups for testing, which together have as near to the rounded fraction of all prompts as they can.

    sizes: number of prompts by group. The groups are taken in the order of their hashes, as few as are needed
    to reach the number. With a fraction between 0 and 1, at least one of several groups is for testing and at
    least one for training.
    """
    n, order = sum(sizes.values()), sorted(sizes, key=lambda group: hash_share(group, "split"))
    if fraction in (0, 1) or len(order) < 2:
        return set(order) if 2 * round(fraction * n) > n else set()
    wanted = min(max(round(fraction * n), 1), n - 1)
    reached_by: dict[int, int] = {}  # sum of sizes -> the place of the group with which it was first reached
    sums, longest = 1, max(2 * wanted, *sizes.values())  # bit s: some of the groups so far have s prompts
    for place, group in enumerate(order):
        new = (sums << sizes[group]) & ~sums & ((2 << longest) - 1)
        sums |= new
        reached_by |= dict.fromkeys(_bits(new), place)
        if wanted in reached_by:
            break
    left = min((s for s in reached_by if s < n), key=lambda s: (abs(s - wanted), s))
    tested: set[str] = set()
    while left:
        group = order[reached_by[left]]
        tested.add(group)
        left -= sizes[group]
    return tested


def few_for_testing(n_test: int) -> str:
    """Says that there are few test prompts, and what to do; "" if there are enough."""
    if n_test >= _FEW:
        return ""
    return (
        f"{n_test} test prompts are few: heads are judged with wide intervals; {_FEW} or more are better, by "
        "a larger prompts.test_fraction or more prompts"
    )


def _bits(number: int) -> list[int]:
    """The places of the bits that are 1."""
    found = []
    while number:
        found.append((number & -number).bit_length() - 1)
        number &= number - 1
    return found


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
