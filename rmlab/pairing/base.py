"""What a pairing is: a pool of responses and a number -> comparisons; and how many distinct ones there
are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from rmlab.comparisons import Comparisons, Pool
from rmlab.errors import InputError


class Pairing(Protocol):
    def capacity(self, pool: Pool) -> int:
        """How many distinct comparisons the pool allows."""
        ...

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Comparisons: ...


def check_choice(choice: str, known: tuple[str, ...]) -> None:
    """Refuses a choice that is not one of the known ones."""
    if choice not in known:
        raise ValueError(f"choice is {choice!r}: use {', '.join(known[:-1])} or {known[-1]}")


def check_budget(n: int, total: int, what: str) -> None:
    """Refuses a budget of n of the total distinct ones there are; what: their name, in the plural."""
    if n < 1:
        raise InputError(f"asked for {n} comparisons: ask for at least 1")
    if n > total:
        raise InputError(
            f"asked for {n} comparisons, but only {total} distinct {what} exist: "
            "lower comparisons.n or sample more responses"
        )


def check_golden(pool: Pool, choice: str) -> None:
    """Refuses golden rewards without an order, unless the choice is random and reads none."""
    if choice == "random":
        return
    if not np.isfinite(pool.golden).all():
        raise InputError("some golden rewards are not finite: annotate the responses again")
    if len(pool) and np.ptp(pool.golden) == 0:
        raise InputError(f"all golden rewards are equal: {choice} comparisons need a reward that varies")


def random_order(items: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """items [n, 2], each pair in the order a coin decides: which response is shown first."""
    left, right = items[:, 0], items[:, 1]
    first = np.where(rng.integers(0, 2, len(items), dtype=bool), left, right)
    return np.stack([first, left + right - first], axis=1)


def distinct_codes(rows: int, q: int, high: int, rng: np.random.Generator) -> np.ndarray:
    """[rows, q] int64: in each row q distinct numbers below high, in uniformly random order.

    Memory and time are of the order of rows * q, whatever high is: a row that takes less than half of
    the numbers draws again what it has drawn before, any other row shuffles them all.
    """
    if 2 * q > high:
        return np.argsort(rng.random((rows, high)), axis=1)[:, :q]
    return draw_distinct(rows, q, lambda m: rng.integers(0, high, m), lambda codes: codes)


def draw_distinct(
    rows: int, q: int, draw: Callable[[int], np.ndarray], key: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """[rows, q, ...]: in each row q draws with different keys, as if made one after another.

    draw(m) -> m independent draws, [m, ...]; key: [r, q, ...] -> [r, q] integers.
    A draw whose key is that of an earlier one of its row is made again. The keys held by the first t
    draws of a row only ever grow in number, so each draw ends as the first of its own sequence that is
    not among them: sequential rejection, which is sampling without replacement.
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
    """keys: [r, q] -> [r, q] bool, whether an earlier key of the row is the same."""
    order = np.argsort(keys, axis=1, kind="stable")
    ranked = np.take_along_axis(keys, order, axis=1)
    repeat = np.zeros(keys.shape, dtype=bool)
    row, place = np.nonzero(ranked[:, 1:] == ranked[:, :-1])
    repeat[row, order[row, place + 1]] = True
    return repeat
