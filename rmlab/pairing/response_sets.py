"""One pair for each prompt, of a set of two of its responses: the pairing designs of the study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from rmlab.comparisons import Comparisons, Pool
from rmlab.errors import InputError
from rmlab.pairing.base import check_choice, check_golden, random_order
from rmlab.pairing.draws import across_prompts, golden_order, runs

CHOICES = ("random", "similar", "diverse")
FEWEST = 10  # pairs on which a head is worth fitting, where all designs are cut to equal n


@dataclass(frozen=True)
class ResponseSets:
    """Takes a set of two responses of each prompt that has two or more, and makes one pair for each set.

    choice: which two, by golden rank among the prompt's K responses, counted from 0, ties at random. random:
    any two; similar: the middle ranks K//2 - 1 and K//2; diverse: the extremes, 0 and K - 1.
    across: false makes a pair of the two of a set; true pairs a random one of them with a random one of the
    set of another prompt. Either way each response of each set is in one pair, so the two designs show the
    same responses.
    equal_n: false keeps all pairs, also ties, which annotators drop; true leaves ties out here, and cuts each
    of the six designs (three choices, across or not) to the size of the smallest of the six without ties. All
    six are drawn from the rng in a fixed order, so with equal seeds they agree on n. Pairs of other ranks are
    never used to fill up. All designs but random with unequal n read the golden score: they are study
    designs, not collection methods.
    Source: Sun, Shen & Ton 2025, "Rethinking Bradley-Terry Models" (arXiv 2411.04991).
    """

    name: ClassVar[str] = "response_sets"

    choice: Literal["random", "similar", "diverse"] = "random"
    across: bool = False
    equal_n: bool = False

    def __post_init__(self) -> None:
        check_choice(self.choice, CHOICES)

    def capacity(self, pool: Pool) -> int:
        """Returns the number of prompts with two responses or more."""
        return int((np.unique(pool.group, return_counts=True)[1] >= 2).sum())

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Comparisons:
        """Draws at most n pairs, items [n, 2] int64 rows of the pool in random order."""
        self._check_total(pool, n)
        check_golden(pool, "equal-n" if self.equal_n else self.choice)
        sets = _sets(pool, rng)
        if not self.equal_n:
            items = sets[self.choice]
            items = across_prompts(items, pool, rng) if self.across else items
        else:
            items = self._of_equal_n(sets, pool, n, rng)
        items = random_order(items[:n], rng)
        return Comparisons(items=items, group=pool.group[items[:, 0]])

    def check_amount(self, pool: Pool, n: int) -> None:
        """Raises InputError where n pairs cannot be drawn, whatever the golden rewards are."""
        self._check_total(pool, n)
        if self.equal_n and (most := self.capacity(pool)) < FEWEST:
            raise InputError(
                f"equal n would be {most} at most, and fewer than {FEWEST} pairs are too few for a head: "
                "add prompts, or set pairing.equal_n=false"
            )

    def _check_total(self, pool: Pool, n: int) -> None:
        total = self.capacity(pool)
        if n < 1:
            raise InputError(f"asked for {n} comparisons: ask for at least 1")
        if total == 0:
            raise InputError("every prompt has one response: sample at least 2, or use pairing=cross_prompt")
        if total == 1 and (self.across or self.equal_n):
            raise InputError(
                "one prompt only has two responses, and pairs across prompts need two: add prompts, or use "
                "pairing=same_prompt"
            )
        if n > total:
            raise InputError(
                f"asked for {n} comparisons, but pairing=response_sets has one a prompt and {total} prompts "
                "have two responses: set comparisons.n=null for a pair of each, lower it, or add prompts"
            )

    def _of_equal_n(
        self, sets: dict[str, np.ndarray], pool: Pool, n: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Returns untied pairs of this design, as many as the smallest of the six designs has, at most n."""
        untied = {}
        for choice, within in sets.items():
            for across in (False, True):
                items = across_prompts(within, pool, rng) if across else within
                differ = pool.golden[items[:, 0]] != pool.golden[items[:, 1]]
                untied[choice, across] = items[differ]
        smallest = min(map(len, untied.values()))
        if smallest < FEWEST:
            each = ", ".join(
                f"{choice} {'across' if across else 'within'} {len(items)}"
                for (choice, across), items in untied.items()
            )
            raise InputError(
                f"equal n would be {smallest}, and fewer than {FEWEST} pairs are too few for a head: "
                f"without ties {len(sets['random'])} prompts give {each}: use more prompts "
                "(validation.fraction shares them out), a golden reward with fewer ties, or "
                "pairing.equal_n=false"
            )
        return untied[self.choice, self.across][: min(n, smallest)]


def _sets(pool: Pool, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draws the sets of all choices: choice -> [P, 2] rows of the pool, the prompts in random order."""
    order = golden_order(pool, rng)
    start, size = runs(pool.group[order])
    has_two = size >= 2
    start, size = start[has_two], size[has_two]
    one = rng.integers(0, size)
    ranks = {
        "random": np.stack([one, (one + rng.integers(1, size)) % size], axis=1),
        "similar": np.stack([size // 2 - 1, size // 2], axis=1),
        "diverse": np.stack([np.zeros_like(size), size - 1], axis=1),
    }
    turn = rng.permutation(len(size))
    return {c: order[start[:, None] + ranks[c]][turn] for c in CHOICES}
