"""Pairs within prompts, dealt over the prompts: any ones, or those that the golden order puts first."""

from __future__ import annotations

import numpy as np

from rmlab.comparisons import Pool
from rmlab.pairing.deal import capacities, deal, golden_order, prompt_order
from rmlab.pairing.distinct import distinct_codes

CELLS = 2**22  # candidate pairs held at once


def pairs_of_prompts(pool: Pool) -> np.ndarray:
    """[P] distinct pairs of each prompt, as in np.unique(pool.group)."""
    return capacities(pool, lambda size: size * (size - 1) // 2)


def pairs_within(pool: Pool, choice: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """[n, 2] rows of the pool: distinct pairs, dealt round-robin over the prompts in random order.

    choice decides which pairs of a prompt come first (ties in the order are broken at random):
    random: any; similar: adjacent golden ranks, then ranks two apart, and so on (equal golden scores
    are neighbours too); diverse: by decreasing golden gap.
    """

    def draw(members: np.ndarray, q: int) -> np.ndarray:
        if choice == "random":
            return _random(members, q, rng)
        return _ranked(members, pool.golden, choice, q, rng)

    order = prompt_order(pool) if choice == "random" else golden_order(pool, rng)
    return deal(pool, order, pairs_of_prompts(pool), n, draw, rng)


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
