"""Responses to different prompts are compared: chosen within prompts first (cross_prompt), or by their
place in the golden order of all responses (global_order)."""

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


@dataclass(frozen=True)
class GlobalOrder:
    """n distinct pairs across prompts, by the golden order of all responses of the pool together.

    With the pool in that order (ties at random) and i < j two positions in it, choice takes first
    similar: j - i = 1, then 2, and so on, at random within a step;
    diverse: i + j = m - 1 (lowest with highest, second lowest with second highest, ...), then the
    same shifted by one either way, extremes first. Both use each response about equally often, and a
    matching of the lower with the upper half has the largest total gap of all matchings.
    Neighbours among thousands of responses hardly differ, so similar pairs are ties or nearly so, and an
    annotator who is surer of larger gaps answers them by a coin. Both read the golden score: neither is a way
    to collect, and neither is the design of Sun, Shen & Ton 2025, which chooses within prompts
    (pairing=response_sets).
    """

    name: ClassVar[str] = "global_order"

    choice: Literal["similar", "diverse"] = "similar"

    def __post_init__(self) -> None:
        check_choice(self.choice, ("similar", "diverse"))

    def capacity(self, pool: Pool) -> int:
        return n_cross_pairs(pool)

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Comparisons:
        """n pairs: items [n, 2] int64 rows of the pool, unordered; group [n] is that of the first."""
        total = self.capacity(pool)
        if total == 0:
            raise InputError("there is one prompt only: add prompts, or use pairing=same_prompt")
        check_budget(n, total, "cross-prompt pairs")
        check_golden(pool, self.choice)
        items = random_order(_ranked(pool, n, self.choice, rng), rng)
        return Comparisons(items=items, group=pool.group[items[:, 0]])


def _ranked(pool: Pool, n: int, choice: str, rng: np.random.Generator) -> np.ndarray:
    """[n, 2]: the first n cross-prompt pairs of the steps through the golden order."""
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
    for gap in range(1, m):
        low = rng.permutation(m - gap)
        yield np.stack([low, low + gap], axis=1)


def _diverse_steps(m: int) -> Iterator[np.ndarray]:
    for step in range(2 * m - 3):
        shift = (step + 1) // 2
        total = m - 1 + (shift if step % 2 == 0 else -shift)
        low = np.arange(max(0, total - m + 1), (total + 1) // 2)
        yield np.stack([low, total - low], axis=1)
