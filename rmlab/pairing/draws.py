"""Draws of distinct comparisons: spread evenly over prompts, within a prompt, or across prompts."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator

import numpy as np

from rmlab.comparisons import Pool
from rmlab.errors import InputError
from rmlab.pairing.base import distinct_codes, random_order

CELLS = 2**22  # candidate pairs in memory at once
SHUFFLES = 50
PASSES = 20  # over the pairs that are still to be repaired


def pairs_within(pool: Pool, choice: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draws distinct pairs, dealt in rounds to the prompts in random order -> [n, 2] rows of the pool.

    choice decides which pairs of a prompt come first (ties in the order are broken at random):
    random: any; similar: adjacent golden ranks (also of equal rewards), then ranks two apart, and so on;
    diverse: by decreasing golden gap.
    """

    def draw(members: np.ndarray, q: int) -> np.ndarray:
        if choice == "random":
            return _random_pairs(members, q, rng)
        return _ranked_pairs(members, pool.golden, choice, q, rng)

    order = prompt_order(pool) if choice == "random" else golden_order(pool, rng)
    return deal(pool, order, pairs_of_prompts(pool), n, draw, rng)


def across_prompts(items: np.ndarray, pool: Pool, rng: np.random.Generator) -> np.ndarray:
    """Rearranges distinct pairs within prompts, items [n, 2], into distinct pairs across prompts, [n, 2].

    Each response is in as many pairs as before. One response of each pair, drawn at random, stays in its row;
    the others are shuffled among the rows. A row that then joins a prompt with itself, or repeats a pair,
    exchanges its second response with a random row among those where the exchange joins no prompt with
    itself. There is such a row as long as no prompt has more than half of the pairs, since the two responses
    of each of its pairs need pairs of their own. If repeats remain after all passes, everything is shuffled
    again.
    """
    n, group = len(items), pool.group
    if n == 0 or 2 * np.unique(group[items[:, 0]], return_counts=True)[1].max() > n:
        raise InputError(
            f"one prompt has more than half of the {n} pairs that were chosen within prompts, so that they "
            "cannot be joined across prompts: add prompts with two responses or more"
        )
    for _ in range(SHUFFLES):
        first, second = random_order(items, rng).T
        second = second[rng.permutation(n)]
        for _ in range(PASSES):
            wrong = _wrong_rows(first, second, group)
            if len(wrong) == 0:
                return np.stack([first, second], axis=1)
            for row in wrong:
                joins_two = (group[second] != group[first[row]]) & (group[first] != group[second[row]])
                other = rng.choice(np.flatnonzero(joins_two))
                second[[row, other]] = second[[other, row]]
    raise InputError(
        f"no {n} distinct pairs across prompts were found among the chosen responses: lower comparisons.n or "
        "sample more responses"
    )


def deal(
    pool: Pool,
    order: np.ndarray,
    capacity: np.ndarray,
    n: int,
    draw: Callable[[np.ndarray, int], np.ndarray],
    rng: np.random.Generator,
) -> np.ndarray:
    """Deals comparisons to the prompts in rounds: one of each prompt, then a second one, and so on.

    Returns [n, K] int64 rows of the pool. Prompts take turns in a random order and drop out when they have no
    more, so the first rows of the result are spread evenly too. order: [m] rows of the pool, those of a
    prompt together and in the order in which draw gets them; capacity: [P], the number of distinct
    comparisons of each prompt, as in np.unique(pool.group); draw(members [b, k], q) -> [b, q, K]: q
    comparisons for each of b prompts of k responses.
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
    small = rounds.astype(np.min_scalar_type(rounds.max()))  # small integers sort in linear time
    dealt = np.argsort(small, kind="stable")
    place = np.empty(n, dtype=np.int64)
    place[np.concatenate(slots)] = np.arange(n)
    return np.concatenate(found)[place[dealt]]


def capacities(pool: Pool, of_size: Callable[[int], int]) -> np.ndarray:
    """Returns the number of distinct comparisons of each prompt, [P]. of_size(k): those of k responses."""
    _, size = np.unique(pool.group, return_counts=True)
    sizes, index = np.unique(size, return_inverse=True)
    return np.array([of_size(int(k)) for k in sizes], dtype=np.int64)[index]


def runs(ordered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the start and the length of each run of equal values."""
    start = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    return start, np.diff(np.r_[start, len(ordered)])


def prompt_order(pool: Pool) -> np.ndarray:
    """Returns the rows of the pool sorted by prompt, [m]."""
    return np.argsort(pool.group, kind="stable")


def golden_order(pool: Pool, rng: np.random.Generator) -> np.ndarray:
    """Returns the rows of the pool sorted by prompt, then by golden reward (ties at random), [m]."""
    return np.lexsort((rng.random(len(pool)), pool.golden, pool.group))


def _quotas(capacity: np.ndarray, n: int) -> np.ndarray:
    """Returns how many comparisons each prompt is dealt, n in total. capacity: [P], in dealing order."""
    rounds = range(int(capacity.max()) + 1)
    full = bisect.bisect_right(rounds, n, key=lambda level: int(np.minimum(capacity, level).sum())) - 1
    quota = np.minimum(capacity, full)
    extra = np.flatnonzero(capacity > full)[: n - int(quota.sum())]
    quota[extra] += 1
    return quota


def _blocks(size: np.ndarray, quota: np.ndarray) -> Iterator[np.ndarray]:
    """Yields the prompts that are dealt any, in blocks of equal size and quota."""
    for k in np.unique(size[quota > 0]):
        prompts = np.flatnonzero((size == k) & (quota > 0))
        for q in np.unique(quota[prompts]):
            yield prompts[quota[prompts] == q]


def pairs_of_prompts(pool: Pool) -> np.ndarray:
    """Returns the number of distinct pairs of each prompt, [P], as in np.unique(pool.group)."""
    return capacities(pool, lambda size: size * (size - 1) // 2)


def _random_pairs(members: np.ndarray, q: int, rng: np.random.Generator) -> np.ndarray:
    """Draws q random pairs for each of b prompts. members: [b, k] -> [b, q, 2].

    Pair number c is i = c mod k and i + 1 + c div k, mod k. That numbers each of the k(k-1)/2 pairs once: the
    pairs one apart on a circle of k, then two apart, and so on.
    """
    b, k = members.shape
    step, left = np.divmod(distinct_codes(b, q, k * (k - 1) // 2, rng), k)
    right = left + step + 1
    right -= k * (right >= k)
    return np.take_along_axis(members, np.stack([left, right], axis=2).reshape(b, -1), axis=1).reshape(
        b, q, 2
    )


def _ranked_pairs(
    members: np.ndarray, golden: np.ndarray, choice: str, q: int, rng: np.random.Generator
) -> np.ndarray:
    """Returns the first q pairs of each prompt by the choice.

    members: [b, k] in golden order -> [b, q, 2].
    """
    b, k = members.shape
    at_once = max(1, CELLS // (k * (k - 1) // 2))
    found = []
    for rows in (members[i : i + at_once] for i in range(0, b, at_once)):
        columns = _best_pairs(golden[rows], choice, q, rng)
        found.append(np.take_along_axis(rows, columns.reshape(len(rows), -1), axis=1).reshape(-1, q, 2))
    return np.concatenate(found)


def _best_pairs(golden: np.ndarray, choice: str, q: int, rng: np.random.Generator) -> np.ndarray:
    """Returns the columns of the first q pairs, [b, q, 2]. golden: [b, k] ascending."""
    low, high = np.triu_indices(golden.shape[1], 1)
    shuffle = rng.permutation(len(low))  # so that no ranks are favoured where gaps are equal
    low, high = low[shuffle], high[shuffle]
    if choice == "diverse":
        key = golden[:, low] - golden[:, high]
    else:
        key = rng.random((len(golden), len(low)))
        key += high - low
    best = np.argpartition(key, q - 1, axis=1)[:, :q]
    best = np.take_along_axis(best, np.argsort(np.take_along_axis(key, best, axis=1), axis=1), axis=1)
    return np.stack([low[best], high[best]], axis=2)


def n_cross_pairs(pool: Pool) -> int:
    """Returns the number of distinct pairs across prompts: all pairs less those within prompts."""
    _, size = np.unique(pool.group, return_counts=True)
    return (len(pool) * (len(pool) - 1) - int((size * (size - 1)).sum())) // 2


def _wrong_rows(first: np.ndarray, second: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Returns the rows that join a prompt with itself or repeat the pair of an earlier row."""
    is_wrong = group[first] == group[second]
    pairs = np.sort(np.stack([first, second], axis=1), axis=1)
    is_repeat = np.ones(len(first), dtype=bool)
    is_repeat[np.unique(pairs, axis=0, return_index=True)[1]] = False
    return np.flatnonzero(is_wrong | is_repeat)
