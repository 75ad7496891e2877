"""Pairs of responses to different prompts."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from rmlab.comparisons import Comparisons, Pool
from rmlab.errors import InputError
from rmlab.pairing.across import across_prompts, n_cross_pairs
from rmlab.pairing.base import check_budget, check_choice, check_golden, random_order
from rmlab.pairing.within import pairs_of_prompts, pairs_within


@dataclass(frozen=True)
class CrossPrompt:
    """n distinct pairs whose two responses answer different prompts.

    choice: random, any pair; similar and diverse: the responses are chosen within prompts, as same_prompt
    with this choice does (those of its first n pairs), and are then paired across prompts at random, each as
    often as it was chosen. So similar and diverse say how alike the responses of a prompt are that get
    compared, not how alike the two of a pair are. They read the golden score, so they are study designs, not
    collection methods. One pair a prompt, as in the study, is pairing=response_sets.
    Source: Sun, Shen & Ton 2025, "Rethinking Bradley-Terry Models" (arXiv 2411.04991).
    """

    name: ClassVar[str] = "cross_prompt"

    choice: Literal["random", "similar", "diverse"] = "random"

    def __post_init__(self) -> None:
        check_choice(self.choice, ("random", "similar", "diverse"))

    def capacity(self, pool: Pool) -> int:
        """Of similar and diverse pairs at most half of all there are, so that distinct ones are found."""
        total = n_cross_pairs(pool)
        return total if self.choice == "random" else min(_most(pairs_of_prompts(pool)), total // 2)

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Comparisons:
        """n pairs: items [n, 2] int64 rows of the pool, unordered; group [n] is that of the first."""
        if n_cross_pairs(pool) == 0:
            raise InputError("there is one prompt only: add prompts, or use pairing=same_prompt")
        check_golden(pool, self.choice)
        total = self.capacity(pool)
        if total == 0:
            raise InputError(
                f"{self.choice} cross-prompt pairs need two prompts with two responses or more: sample more "
                "responses, or use pairing.choice=random"
            )
        check_budget(n, total, "cross-prompt pairs")
        items = random_order(
            _random(pool, n, rng) if self.choice == "random" else self._joined(pool, n, rng), rng
        )
        return Comparisons(items=items, group=pool.group[items[:, 0]])

    def _joined(self, pool: Pool, n: int, rng: np.random.Generator) -> np.ndarray:
        """[n, 2]; of one more pair or so, where a prompt would have more than half of the first n."""
        pairs = pairs_of_prompts(pool)
        largest = bisect.bisect_left(range(int(pairs.max()) + 1), n, key=lambda k: _dealt(pairs, k))
        within = pairs_within(pool, self.choice, max(n, 2 * largest), rng)
        return across_prompts(within, pool, rng)[:n]


def _dealt(pairs: np.ndarray, rounds: int) -> int:
    """How many pairs so many rounds deal; pairs: [P], those of each prompt."""
    return int(np.minimum(pairs, rounds).sum())


def _most(pairs: np.ndarray) -> int:
    """The most pairs that whole rounds deal, of which no prompt has more than half. pairs: [P].

    After k rounds a prompt has at most k. What a round adds falls as prompts run out, so that once a prompt
    has more than half it has so for good.
    """
    rounds = range(int(pairs.max(initial=0)) + 1)
    return _dealt(pairs, bisect.bisect_left(rounds, True, key=lambda k: 2 * k > _dealt(pairs, k)) - 1)


def _random(pool: Pool, n: int, rng: np.random.Generator) -> np.ndarray:
    """[n, 2]: with responses sorted by prompt, pair number c belongs to the first response whose
    running count of responses to later prompts exceeds c. rng.choice holds at most 20 n of the numbers,
    however many there are, and looking them up in order is several times as fast."""
    order = np.argsort(pool.group, kind="stable")
    sorted_group = pool.group[order]
    later = np.searchsorted(sorted_group, sorted_group, side="right")
    count = np.cumsum(len(pool) - later)
    pair = np.sort(rng.choice(int(count[-1]), n, replace=False))
    first = np.searchsorted(count, pair, side="right")
    second = len(pool) - (count[first] - pair)
    return np.stack([order[first], order[second]], axis=1)[rng.permutation(n)]
