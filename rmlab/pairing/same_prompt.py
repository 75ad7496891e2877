"""Pairs of responses to the same prompt, the budget spread evenly over prompts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from rmlab.comparisons import Comparisons, Pool
from rmlab.errors import InputError
from rmlab.pairing.base import check_budget, check_choice, check_golden, random_order
from rmlab.pairing.deal import capacities, deal, golden_order, prompt_order
from rmlab.pairing.distinct import distinct_codes

CELLS = 2**22  # candidate pairs held at once


@dataclass(frozen=True)
class SamePrompt:
    """n distinct pairs within prompts, dealt round-robin over the prompts in random order.

    choice decides which pairs of a prompt come first (ties in the order are broken at random):
    random: any; similar: adjacent golden ranks, then ranks two apart, and so on (equal golden scores
    are neighbours too); diverse: by decreasing golden gap.
    similar and diverse read the golden score, so they are study designs, not collection methods.
    Source: Sun, Shen & Ton 2025, "Rethinking Bradley-Terry Models" (arXiv 2411.04991).
    """

    choice: Literal["random", "similar", "diverse"] = "random"

    def __post_init__(self) -> None:
        check_choice(self.choice, ("random", "similar", "diverse"))

    def capacity(self, pool: Pool) -> int:
        return int(_pairs(pool).sum())

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Comparisons:
        """n pairs: items [n, 2] int64 rows of the pool, unordered; its first rows are spread evenly too."""
        check_golden(pool, self.choice)
        pairs = _pairs(pool)
        if not pairs.any():
            raise InputError("every prompt has one response: sample at least 2, or use pairing=cross_prompt")
        check_budget(n, int(pairs.sum()), "same-prompt pairs")

        def draw(members: np.ndarray, q: int) -> np.ndarray:
            if self.choice == "random":
                return _random(members, q, rng)
            return _ranked(members, pool.golden, self.choice, q, rng)

        order = prompt_order(pool) if self.choice == "random" else golden_order(pool, rng)
        items = random_order(deal(pool, order, pairs, n, draw, rng), rng)
        return Comparisons(items=items, group=pool.group[items[:, 0]])


def _pairs(pool: Pool) -> np.ndarray:
    return capacities(pool, lambda size: size * (size - 1) // 2)


def _random(members: np.ndarray, q: int, rng: np.random.Generator) -> np.ndarray:
    """members: [b, k] -> [b, q, 2] of them; pair number c is i = c mod k and i + 1 + c div k, mod k.

    That names each of the k(k-1)/2 pairs once: the pairs one apart on a circle of k, then two apart, ...
    """
    b, k = members.shape
    step, left = np.divmod(distinct_codes(b, q, k * (k - 1) // 2, rng), k)
    right = left + step + 1
    right -= k * (right >= k)
    return np.take_along_axis(members, np.stack([left, right], axis=2).reshape(b, -1), axis=1).reshape(
        b, q, 2
    )


def _ranked(
    members: np.ndarray, golden: np.ndarray, choice: str, q: int, rng: np.random.Generator
) -> np.ndarray:
    """members: [b, k] in golden order -> [b, q, 2], the first q pairs of each by the choice."""
    b, k = members.shape
    at_once = max(1, CELLS // (k * (k - 1) // 2))
    found = []
    for rows in (members[i : i + at_once] for i in range(0, b, at_once)):
        columns = _best_pairs(golden[rows], choice, q, rng)
        found.append(np.take_along_axis(rows, columns.reshape(len(rows), -1), axis=1).reshape(-1, q, 2))
    return np.concatenate(found)


def _best_pairs(golden: np.ndarray, choice: str, q: int, rng: np.random.Generator) -> np.ndarray:
    """golden: [b, k] ascending -> columns [b, q, 2], first choices first."""
    low, high = np.triu_indices(golden.shape[1], 1)
    shuffle = rng.permutation(len(low))  # equal gaps must not favour any ranks
    low, high = low[shuffle], high[shuffle]
    if choice == "diverse":
        key = golden[:, low] - golden[:, high]
    else:
        key = rng.random((len(golden), len(low)))
        key += high - low
    best = np.argpartition(key, q - 1, axis=1)[:, :q]
    best = np.take_along_axis(best, np.argsort(np.take_along_axis(key, best, axis=1), axis=1), axis=1)
    return np.stack([low[best], high[best]], axis=2)
