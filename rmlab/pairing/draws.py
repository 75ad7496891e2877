"""Drawing distinct comparisons: dealt evenly to prompts, within one prompt, or across prompts."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator

import numpy as np

from rmlab.comparisons import Pool
from rmlab.errors import InputError
from rmlab.pairing.base import distinct_codes, random_order


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


SHUFFLES = 50
PASSES = 20  # over the pairs that are still to be mended


def n_cross_pairs(pool: Pool) -> int:
    """Distinct pairs of responses to different prompts: all pairs less those within prompts."""
    _, size = np.unique(pool.group, return_counts=True)
    return (len(pool) * (len(pool) - 1) - int((size * (size - 1)).sum())) // 2


def across_prompts(items: np.ndarray, pool: Pool, rng: np.random.Generator) -> np.ndarray:
    """items [n, 2], distinct pairs within prompts -> [n, 2], distinct pairs across prompts.

    The responses are the same, each in as many pairs as before: a coin says which of a row's two responses
    stays, and the others are shuffled among the rows. A row that then joins a prompt with itself, or repeats
    a pair, exchanges its second response with a row drawn from those with which neither row then joins a
    prompt with itself. There is one as long as no prompt has more than half of the pairs: each pair of a
    prompt has two of its responses, and each of these needs a pair of its own. All is shuffled anew where
    pairs keep repeating.
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


def _wrong_rows(first: np.ndarray, second: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Rows that join a prompt with itself, and those whose pair an earlier row has."""
    is_wrong = group[first] == group[second]
    pairs = np.sort(np.stack([first, second], axis=1), axis=1)
    is_repeat = np.ones(len(first), dtype=bool)
    is_repeat[np.unique(pairs, axis=0, return_index=True)[1]] = False
    return np.flatnonzero(is_wrong | is_repeat)
