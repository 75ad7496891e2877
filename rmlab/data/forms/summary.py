"""Counts of what a file of preference data holds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rmlab.config.fitting import Validation
from rmlab.config.settings import PromptSettings
from rmlab.data.forms.items import Items, pairs_and_ties
from rmlab.data.prompts import Prompt, split_up, whole_groups
from rmlab.data.splits import given_split, validation_groups
from rmlab.errors import InputError


@dataclass(frozen=True)
class Summary:
    """The counts. pairs: pairs of answers to one prompt with different scores; ties: pairs with equal ones.

    left_out: number of records by reason; parted: train items left out because their group has test items;
    fit_pairs: pairs and ties of the train prompts that are not kept for validation.
    """

    form: str
    rows: int
    left_out: dict[str, int]
    items: int
    answers: int
    failed_scores: int
    pairs: int
    ties: int
    groups: int
    train: int
    test: int
    parted: int
    fit_pairs: int
    median_words: float


def summarise(found: Items, how: PromptSettings, validation: Validation) -> Summary:
    """Counts what the items hold; raises an InputError if one of the splits would be empty."""
    words: list[int] = []
    failed = 0
    pairs: dict[str, tuple[int, int]] = {}
    prompts: list[Prompt] = []
    for item in found.items:
        words += [len(a.text.split()) for a in item.answers]
        failed += sum(not math.isfinite(a.score) for a in item.answers)
        pairs[str(item.prompt_id)] = pairs_and_ties(item)
        split = given_split(item.split, item.where)
        prompts.append(Prompt(str(item.prompt_id), split, [], item.number, item.group))
    whole = whole_groups(split_up(prompts, how.test_fraction))
    sizes = {split: sum(p.split == split for p in whole) for split in ("train", "test")}
    _check_splits(found, sizes)
    return Summary(
        form=found.form,
        rows=found.rows,
        left_out=found.left_out,
        items=len(prompts),
        answers=len(words),
        failed_scores=failed,
        pairs=sum(n for n, _ in pairs.values()),
        ties=sum(n for _, n in pairs.values()),
        groups=len({p.group for p in prompts}),
        train=sizes["train"],
        test=sizes["test"],
        parted=len(prompts) - len(whole),
        fit_pairs=_fit_pairs(whole, pairs, validation),
        median_words=float(np.median(words)),
    )


def _check_splits(found: Items, sizes: dict[str, int]) -> None:
    for split, n in sizes.items():
        if n == 0:
            raise InputError(f"{found.path} has no {split} prompts; add some or change prompts.test_fraction")


def _fit_pairs(prompts: Sequence[Prompt], pairs: dict[str, tuple[int, int]], how: Validation) -> int:
    train = [p for p in prompts if p.split == "train"]
    if len({p.group for p in train}) < 2:
        return 0
    held = validation_groups([p.group for p in train], how.fraction, how.seed)
    return sum(sum(pairs[p.prompt_id]) for p in train if p.group not in held)
