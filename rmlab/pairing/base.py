"""The protocol of pairings, which draw comparisons from a pool of responses, and what all of them need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from rmlab.comparisons import Comparisons, Pool
from rmlab.errors import InputError


class Pairing(Protocol):
    """A rule for drawing comparisons.

    One with a method `check_amount(pool, n)` says by an InputError why it cannot draw n comparisons, for
    reasons that hold whatever the golden rewards are; its pool is imagined before anything is sampled.
    """

    def capacity(self, pool: Pool) -> int:
        """Returns the number of distinct comparisons that the pool allows."""
        ...

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Comparisons:
        """Draws n distinct comparisons."""
        ...


def check_choice(choice: str, known: tuple[str, ...]) -> None:
    """Raises ValueError for a choice that is not one of the known ones."""
    if choice not in known:
        raise ValueError(f"choice is {choice!r}: use {', '.join(known[:-1])} or {known[-1]}")


def check_budget(n: int, total: int, what: str) -> None:
    """Raises InputError unless 1 <= n <= total, the number of distinct ones.

    what: their name, in the plural.
    """
    if n < 1:
        raise InputError(f"asked for {n} comparisons: ask for at least 1")
    if n > total:
        raise InputError(
            f"asked for {n} comparisons, but only {total} distinct {what} exist: "
            "lower comparisons.n or sample more responses"
        )


def check_drawable(pairing: Pairing, pool: Pool, n: int) -> None:
    """Raises InputError where a pairing cannot draw n comparisons from a pool, whatever its golden rewards
    are."""
    check = getattr(pairing, "check_amount", None)
    if check is not None:
        check(pool, n)
    else:
        check_budget(n, pairing.capacity(pool), "comparisons")


def check_golden(pool: Pool, choice: str) -> None:
    """Raises InputError where the choice reads golden rewards (all but random do) and they have no order."""
    if choice == "random":
        return
    if not np.isfinite(pool.golden).all():
        raise InputError("some golden rewards are not finite: annotate the responses again")
    if len(pool) and np.ptp(pool.golden) == 0:
        raise InputError(f"all golden rewards are equal: {choice} comparisons need a reward that varies")


def random_order(items: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Puts each pair, items [n, 2], in random order, the order in which annotators see the two."""
    left, right = items[:, 0], items[:, 1]
    first = np.where(rng.integers(0, 2, len(items), dtype=bool), left, right)
    return np.stack([first, left + right - first], axis=1)


def distinct_codes(rows: int, q: int, high: int, rng: np.random.Generator) -> np.ndarray:
    """Draws in each row q distinct numbers below high, in uniformly random order -> [rows, q] int64.

    Memory and time are O(rows * q), whatever high is: rows that take at most half of the numbers redraw
    repeats, and others shuffle all numbers.
    """
    if 2 * q > high:
        return np.argsort(rng.random((rows, high)), axis=1)[:, :q]
    return draw_distinct(rows, q, lambda m: rng.integers(0, high, m), lambda codes: codes)


def draw_distinct(
    rows: int, q: int, draw: Callable[[int], np.ndarray], key: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Makes in each row q draws with different keys -> [rows, q, ...], distributed as if made one by one.

    draw(m) -> m independent draws, [m, ...]; key: [r, q, ...] -> [r, q] integers.
    A draw is redrawn while its key repeats that of an earlier one in its row. The set of keys of a row's
    first t draws only grows, so each draw ends as the first of its own sequence whose key is not in the set:
    this is sequential rejection, that is, sampling without replacement.
    """
    drawn = draw(rows * q)
    drawn = drawn.reshape(rows, q, *drawn.shape[1:])
    open_rows = np.arange(rows)
    while len(open_rows):
        repeats = _repeats(key(drawn[open_rows]))
        row, column = np.nonzero(repeats)
        drawn[open_rows[row], column] = draw(len(row))
        open_rows = open_rows[repeats.any(axis=1)]
    return drawn


def _repeats(keys: np.ndarray) -> np.ndarray:
    """Marks the keys that repeat an earlier one of their row. keys: [r, q] -> [r, q] bool."""
    order = np.argsort(keys, axis=1, kind="stable")
    ranked = np.take_along_axis(keys, order, axis=1)
    repeat = np.zeros(keys.shape, dtype=bool)
    row, place = np.nonzero(ranked[:, 1:] == ranked[:, :-1])
    repeat[row, order[row, place + 1]] = True
    return repeat
