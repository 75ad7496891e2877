"""Comparisons within prompts: pairs, lists to be ranked or chosen from, and single responses."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from rmlab.comparisons import Comparisons, Pool
from rmlab.errors import InputError
from rmlab.pairing.base import (
    check_budget,
    check_choice,
    check_golden,
    distinct_codes,
    draw_distinct,
    random_order,
)
from rmlab.pairing.draws import capacities, deal, golden_order, pairs_of_prompts, pairs_within, prompt_order

MOST = 2**40  # lists counted for a prompt at most, so that their sum over prompts fits an int64


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

    def check_amount(self, pool: Pool, n: int) -> None:
        total = self.capacity(pool)
        if total == 0:
            raise InputError("every prompt has one response: sample at least 2, or use pairing=cross_prompt")
        check_budget(n, total, "same-prompt pairs")

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Comparisons:
        """Draws n pairs, items [n, 2] int64 rows of the pool in random order.

        The first rows are spread evenly.
        """
        check_golden(pool, self.choice)
        self.check_amount(pool, n)
        items = random_order(pairs_within(pool, self.choice, n, rng), rng)
        return Comparisons(items=items, group=pool.group[items[:, 0]])


@dataclass(frozen=True)
class Unpaired:
    """Draws distinct responses at random, dealt in rounds to the prompts in random order."""

    name: ClassVar[str] = "unpaired"

    def capacity(self, pool: Pool) -> int:
        return len(pool)

    def check_amount(self, pool: Pool, n: int) -> None:
        check_budget(n, len(pool), "responses")

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Comparisons:
        """Draws n responses, items [n, 1] int64 rows of the pool; the first rows are spread evenly."""
        self.check_amount(pool, n)

        def draw(members: np.ndarray, q: int) -> np.ndarray:
            codes = distinct_codes(len(members), q, members.shape[1], rng)
            return np.take_along_axis(members, codes, axis=1)[:, :, None]

        items = deal(pool, prompt_order(pool), capacities(pool, int), n, draw, rng)
        return Comparisons(items=items, group=pool.group[items[:, 0]], kind="unpaired")


@dataclass(frozen=True)
class Lists:
    """Draws distinct lists of k different responses to a prompt, dealt in rounds to randomly ordered prompts.

    Prompts with fewer than k responses are left out.

    answer: what the annotators are asked for, a ranking (kind "list": Plackett-Luce 1975) or the best
    of the k (kind "choice": Ziegler et al. 2019).
    choice: random takes any k responses; diverse sorts the prompt's responses by golden reward (ties at
    random), cuts them into k runs of nearly equal length and takes one of each run. diverse reads the golden
    score, so it is a study design, not a collection method.
    """

    name: ClassVar[str] = "lists"

    k: int = 4
    answer: Literal["ranking", "choice"] = "ranking"
    choice: Literal["random", "diverse"] = "random"

    def __post_init__(self) -> None:
        if self.k < 2:
            raise ValueError(f"k is {self.k}: use at least 2 responses a list")
        if self.answer not in ("ranking", "choice"):
            raise ValueError(f"answer is {self.answer!r}: use ranking or choice")
        check_choice(self.choice, ("random", "diverse"))

    def capacity(self, pool: Pool) -> int:
        """Returns the number of distinct lists, counting at most MOST of each prompt."""
        return int(self._lists(pool).sum())

    def check_amount(self, pool: Pool, n: int) -> None:
        lists = self._lists(pool)
        if not lists.any():
            largest = int(np.unique(pool.group, return_counts=True)[1].max(initial=0))
            raise InputError(
                f"lists of {self.k} need prompts with {self.k} responses, but no prompt has more than "
                f"{largest}: lower pairing.k or sample more responses"
            )
        check_budget(n, int(lists.sum()), f"{self.choice} lists of {self.k}")

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Comparisons:
        """Draws n lists, items [n, k] int64 rows of the pool in random order.

        The first rows are spread evenly.
        """
        check_golden(pool, self.choice)
        self.check_amount(pool, n)

        def draw(members: np.ndarray, q: int) -> np.ndarray:
            columns = self._columns(len(members), q, members.shape[1], rng)
            return members[np.arange(len(members))[:, None, None], columns]

        order = prompt_order(pool) if self.choice == "random" else golden_order(pool, rng)
        items = rng.permuted(deal(pool, order, self._lists(pool), n, draw, rng), axis=1)
        kind: Literal["list", "choice"] = "list" if self.answer == "ranking" else "choice"
        return Comparisons(items=items, group=pool.group[items[:, 0]], kind=kind)

    def _lists(self, pool: Pool) -> np.ndarray:
        """The number of distinct lists of each prompt, [P]."""
        return capacities(pool, self._count)

    def _count(self, size: int) -> int:
        """Returns the number of distinct lists of a prompt with this many responses, at most MOST."""
        count = math.comb(size, self.k) if self.choice == "random" else math.prod(map(len, self._runs(size)))
        return min(count, MOST)

    def _runs(self, size: int) -> list[np.ndarray]:
        """The golden ranks of a prompt, cut into k runs."""
        return np.array_split(np.arange(size), self.k)

    def _columns(self, b: int, q: int, size: int, rng: np.random.Generator) -> np.ndarray:
        """Draws q distinct lists for each of b prompts, as columns of its responses, [b, q, k]."""
        if 2 * q > self._count(size):  # few enough to enumerate them all
            table = self._all(size)
            return table[distinct_codes(b, q, len(table), rng)]
        word = rng.integers(0, 2**64, size, dtype=np.uint64)
        return draw_distinct(
            b,
            q,
            lambda m: self._draw(m, size, rng),
            # Each response has a random 64-bit word, and the sum over a list identifies its set. Two sets
            # have the same sum with probability 2^-64; then a list is only redrawn needlessly.
            lambda columns: word[columns].sum(axis=-1),
        )

    def _all(self, size: int) -> np.ndarray:
        """Returns all lists of a prompt with this many responses, [lists, k]."""
        lists = (
            itertools.combinations(range(size), self.k)
            if self.choice == "random"
            else itertools.product(*(run.tolist() for run in self._runs(size)))
        )
        return np.fromiter(itertools.chain.from_iterable(lists), dtype=np.int64).reshape(-1, self.k)

    def _draw(self, m: int, size: int, rng: np.random.Generator) -> np.ndarray:
        """Draws m independent lists, which may repeat, [m, k]."""
        if self.choice == "random":
            return distinct_codes(m, self.k, size, rng)
        length = np.array([len(run) for run in self._runs(size)])
        return np.cumsum(length) - length + rng.integers(0, length, (m, self.k))
