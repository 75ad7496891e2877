"""Pairs of responses to different prompts: cross_prompt chooses the responses within prompts first, and
global_order by their place in the golden order of all responses."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from rmlab.comparisons import Comparisons, Pool
from rmlab.errors import InputError
from rmlab.pairing.base import check_budget, check_choice, check_golden, random_order
from rmlab.pairing.draws import across_prompts, n_cross_pairs, pairs_of_prompts, pairs_within


@dataclass(frozen=True)
class CrossPrompt:
    """Draws distinct pairs whose two responses answer different prompts.

    choice: random takes any pair; similar and diverse choose responses within prompts, those of the first n
    pairs of same_prompt with the same choice, and then pair them across prompts at random, each as often as
    it was chosen. So similar and diverse describe which responses of a prompt are compared, not how alike the
    two of a pair are. They read the golden score, so they are study designs, not collection methods. For one
    pair for each prompt, as in the study, use pairing=response_sets.
    Source: Sun, Shen & Ton 2025, "Rethinking Bradley-Terry Models" (arXiv 2411.04991).
    """

    name: ClassVar[str] = "cross_prompt"

    choice: Literal["random", "similar", "diverse"] = "random"

    def __post_init__(self) -> None:
        check_choice(self.choice, ("random", "similar", "diverse"))

    def capacity(self, pool: Pool) -> int:
        """Returns the largest n.

        For similar and diverse it is at most half of all pairs, so that distinct ones are found.
        """
        total = n_cross_pairs(pool)
        return total if self.choice == "random" else min(_most(pairs_of_prompts(pool)), total // 2)

    def check_amount(self, pool: Pool, n: int) -> None:
        if n_cross_pairs(pool) == 0:
            raise InputError("there is one prompt only: add prompts, or use pairing=same_prompt")
        total = self.capacity(pool)
        if total == 0:
            raise InputError(
                f"{self.choice} cross-prompt pairs need two prompts with two responses or more: sample more "
                "responses, or use pairing.choice=random"
            )
        check_budget(n, total, "cross-prompt pairs")

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Comparisons:
        """Draws n pairs, items [n, 2] int64 rows of the pool in random order; group: that of the first."""
        self.check_amount(pool, n)
        check_golden(pool, self.choice)
        items = random_order(
            _random(pool, n, rng) if self.choice == "random" else self._joined(pool, n, rng), rng
        )
        return Comparisons(items=items, group=pool.group[items[:, 0]])

    def _joined(self, pool: Pool, n: int, rng: np.random.Generator) -> np.ndarray:
        """Returns pairs across prompts, [n, 2].

        They are the first of more than n where a prompt has more than half of n.
        """
        pairs = pairs_of_prompts(pool)
        largest = bisect.bisect_left(range(int(pairs.max()) + 1), n, key=lambda k: _dealt(pairs, k))
        within = pairs_within(pool, self.choice, max(n, 2 * largest), rng)
        return across_prompts(within, pool, rng)[:n]


@dataclass(frozen=True)
class GlobalOrder:
    """Draws distinct pairs across prompts by the golden order of all responses of the pool.

    With the pool in that order (ties at random) and i < j two positions in it, choice takes first
    similar: j - i = 1, then 2, and so on, at random within a step;
    diverse: i + j = m - 1 (lowest with highest, second lowest with second highest, ...), then the
    same shifted by one either way, extremes first. Both use each response about equally often, and matching
    the lower with the upper half gives the largest total gap of all matchings.
    Neighbours among thousands of responses hardly differ, so similar pairs are ties or nearly ties, which an
    annotator whose errors depend on the gap answers almost at random. Both choices read the golden score, so
    they are no collection methods, nor are they the design of Sun, Shen & Ton 2025, which chooses within
    prompts (pairing=response_sets).
    """

    name: ClassVar[str] = "global_order"

    choice: Literal["similar", "diverse"] = "similar"

    def __post_init__(self) -> None:
        check_choice(self.choice, ("similar", "diverse"))

    def capacity(self, pool: Pool) -> int:
        return n_cross_pairs(pool)

    def check_amount(self, pool: Pool, n: int) -> None:
        total = self.capacity(pool)
        if total == 0:
            raise InputError("there is one prompt only: add prompts, or use pairing=same_prompt")
        check_budget(n, total, "cross-prompt pairs")

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Comparisons:
        """Draws n pairs, items [n, 2] int64 rows of the pool in random order; group: that of the first."""
        self.check_amount(pool, n)
        check_golden(pool, self.choice)
        items = random_order(_ranked(pool, n, self.choice, rng), rng)
        return Comparisons(items=items, group=pool.group[items[:, 0]])


def _dealt(pairs: np.ndarray, rounds: int) -> int:
    """Returns how many pairs are dealt in so many rounds. pairs: [P], the pairs of each prompt."""
    return int(np.minimum(pairs, rounds).sum())


def _most(pairs: np.ndarray) -> int:
    """Returns the most pairs that whole rounds deal such that no prompt has more than half. pairs: [P].

    After k rounds a prompt has at most k. Rounds add fewer and fewer pairs as prompts run out, so a prompt
    that has more than half keeps more than half.
    """
    rounds = range(int(pairs.max(initial=0)) + 1)
    return _dealt(pairs, bisect.bisect_left(rounds, True, key=lambda k: 2 * k > _dealt(pairs, k)) - 1)


def _random(pool: Pool, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draws n random cross-prompt pairs, [n, 2].

    With the responses sorted by prompt, pair number c belongs to the first response at which the cumulative
    count of responses to later prompts exceeds c. rng.choice keeps at most 20 n of the numbers in memory,
    however many there are; looking them up in sorted order is several times as fast.
    """
    order = np.argsort(pool.group, kind="stable")
    sorted_group = pool.group[order]
    later = np.searchsorted(sorted_group, sorted_group, side="right")
    count = np.cumsum(len(pool) - later)
    pair = np.sort(rng.choice(int(count[-1]), n, replace=False))
    first = np.searchsorted(count, pair, side="right")
    second = len(pool) - (count[first] - pair)
    return np.stack([order[first], order[second]], axis=1)[rng.permutation(n)]


def _ranked(pool: Pool, n: int, choice: str, rng: np.random.Generator) -> np.ndarray:
    """Returns the first n cross-prompt pairs of the steps through the golden order, [n, 2]."""
    order = np.lexsort((rng.random(len(pool)), pool.golden))
    steps = _similar_steps(len(pool), rng) if choice == "similar" else _diverse_steps(len(pool))
    found: list[np.ndarray] = []
    missing = n
    while missing > 0:
        items = order[next(steps)]
        items = items[pool.group[items[:, 0]] != pool.group[items[:, 1]]][:missing]
        found.append(items)
        missing -= len(items)
    return np.concatenate(found)


def _similar_steps(m: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yields the positions of pairs 1 apart, then 2 apart, and so on."""
    for gap in range(1, m):
        low = rng.permutation(m - gap)
        yield np.stack([low, low + gap], axis=1)


def _diverse_steps(m: int) -> Iterator[np.ndarray]:
    """Yields the positions of pairs with i + j = m - 1, then of sums that are further and further from it."""
    for step in range(2 * m - 3):
        shift = (step + 1) // 2
        total = m - 1 + (shift if step % 2 == 0 else -shift)
        low = np.arange(max(0, total - m + 1), (total + 1) // 2)
        yield np.stack([low, total - low], axis=1)
