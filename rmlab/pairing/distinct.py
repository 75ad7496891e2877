"""Draws without replacement, for many prompts at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


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
