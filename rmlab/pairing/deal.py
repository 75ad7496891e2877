"""A budget of comparisons dealt round-robin over the prompts."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator

import numpy as np

from rmlab.comparisons import Pool


def deal(
    pool: Pool,
    order: np.ndarray,
    capacity: np.ndarray,
    n: int,
    draw: Callable[[np.ndarray, int], np.ndarray],
    rng: np.random.Generator,
) -> np.ndarray:
    """[n, K] int64 rows of the pool: one comparison of each prompt, then a second one, and so on.

    Prompts take turns in an order drawn at random and leave when they have no more, so any first rows
    are spread evenly too. order: [m] rows of the pool with those of a prompt together, in the order
    draw is to see them; capacity: [P] distinct comparisons of each prompt, as in np.unique(pool.group);
    draw(members [b, k], q) -> [b, q, K]: q comparisons for each of b prompts of k responses.
    """
    start, size = runs(pool.group[order])
    turn = rng.permutation(len(size))
    start, size = start[turn], size[turn]
    quota = _quotas(capacity[turn], n)
    first = np.cumsum(quota) - quota
    slots, found = [], []
    for prompts in _blocks(size, quota):
        members = order[start[prompts][:, None] + np.arange(size[prompts[0]])]
        q = int(quota[prompts[0]])
        drawn = draw(members, q)
        found.append(drawn.reshape(-1, drawn.shape[2]))
        slots.append((first[prompts][:, None] + np.arange(q)).ravel())
    rounds = np.arange(n) - np.repeat(first, quota)
    dealt = np.argsort(rounds.astype(np.min_scalar_type(rounds.max())), kind="stable")  # small: linear time
    place = np.empty(n, dtype=np.int64)
    place[np.concatenate(slots)] = np.arange(n)
    return np.concatenate(found)[place[dealt]]


def capacities(pool: Pool, of_size: Callable[[int], int]) -> np.ndarray:
    """[P] int64 distinct comparisons of each prompt; of_size: those among k responses."""
    _, size = np.unique(pool.group, return_counts=True)
    sizes, index = np.unique(size, return_inverse=True)
    return np.array([of_size(int(k)) for k in sizes], dtype=np.int64)[index]


def runs(ordered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Start and length of each run of equal values."""
    start = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    return start, np.diff(np.r_[start, len(ordered)])


def prompt_order(pool: Pool) -> np.ndarray:
    """[m] rows of the pool by prompt."""
    return np.argsort(pool.group, kind="stable")


def golden_order(pool: Pool, rng: np.random.Generator) -> np.ndarray:
    """[m] rows of the pool by prompt, then by golden reward, equal ones in random order."""
    return np.lexsort((rng.random(len(pool)), pool.golden, pool.group))


def _quotas(capacity: np.ndarray, n: int) -> np.ndarray:
    """capacity: [P] comparisons a prompt has, in dealing order -> [P] dealt to it, n in total."""
    rounds = range(int(capacity.max()) + 1)
    full = bisect.bisect_right(rounds, n, key=lambda level: int(np.minimum(capacity, level).sum())) - 1
    quota = np.minimum(capacity, full)
    extra = np.flatnonzero(capacity > full)[: n - int(quota.sum())]
    quota[extra] += 1
    return quota


def _blocks(size: np.ndarray, quota: np.ndarray) -> Iterator[np.ndarray]:
    """Prompts with comparisons to choose, in blocks of equal size and quota."""
    for k in np.unique(size[quota > 0]):
        prompts = np.flatnonzero((size == k) & (quota > 0))
        for q in np.unique(quota[prompts]):
            yield prompts[quota[prompts] == q]
