"""Pairs across prompts by the golden order of all responses together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from rmlab.comparisons import Comparisons, Pool
from rmlab.errors import InputError
from rmlab.pairing.across import n_cross_pairs
from rmlab.pairing.base import check_budget, check_choice, check_golden, random_order


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
