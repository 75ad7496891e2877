"""Pairs of responses to the same prompt (same_prompt), and responses judged one by one (unpaired)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from rmlab.comparisons import Comparisons, Pool
from rmlab.errors import InputError
from rmlab.pairing.base import check_budget, check_choice, check_golden, distinct_codes, random_order
from rmlab.pairing.draws import capacities, deal, pairs_of_prompts, pairs_within, prompt_order


@dataclass(frozen=True)
class SamePrompt:
    """Draws distinct pairs within prompts, dealt in rounds to the prompts in random order.

    choice decides which pairs of a prompt come first (ties in the order are broken at random):
    random: any; similar: adjacent golden ranks (also of equal rewards), then ranks two apart, and so on;
    diverse: by decreasing golden gap.
    similar and diverse read the golden score, so they are study designs, not collection methods.
    Source: Sun, Shen & Ton 2025, "Rethinking Bradley-Terry Models" (arXiv 2411.04991).
    """

    name: ClassVar[str] = "same_prompt"

    choice: Literal["random", "similar", "diverse"] = "random"

    def __post_init__(self) -> None:
        check_choice(self.choice, ("random", "similar", "diverse"))

    def capacity(self, pool: Pool) -> int:
        return int(pairs_of_prompts(pool).sum())

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Comparisons:
        """Draws n pairs, items [n, 2] int64 rows of the pool in random order.

        The first rows are spread evenly.
        """
        check_golden(pool, self.choice)
        total = self.capacity(pool)
        if total == 0:
            raise InputError("every prompt has one response: sample at least 2, or use pairing=cross_prompt")
        check_budget(n, total, "same-prompt pairs")
        items = random_order(pairs_within(pool, self.choice, n, rng), rng)
        return Comparisons(items=items, group=pool.group[items[:, 0]])


@dataclass(frozen=True)
class Unpaired:
    """Draws distinct responses at random, dealt in rounds to the prompts in random order."""

    name: ClassVar[str] = "unpaired"

    def capacity(self, pool: Pool) -> int:
        return len(pool)

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Comparisons:
        """Draws n responses, items [n, 1] int64 rows of the pool; the first rows are spread evenly."""
        check_budget(n, len(pool), "responses")

        def draw(members: np.ndarray, q: int) -> np.ndarray:
            codes = distinct_codes(len(members), q, members.shape[1], rng)
            return np.take_along_axis(members, codes, axis=1)[:, :, None]

        items = deal(pool, prompt_order(pool), capacities(pool, int), n, draw, rng)
        return Comparisons(items=items, group=pool.group[items[:, 0]], kind="unpaired")
