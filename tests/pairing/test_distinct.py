from __future__ import annotations

import itertools

import numpy as np
import pytest

from rmlab.pairing.base import distinct_codes, draw_distinct


@pytest.mark.parametrize(("q", "high"), [(2, 5), (2, 4), (3, 4), (3, 7)])
def test_every_ordered_draw_is_equally_likely(q, high):
    rows = 40_000
    drawn = distinct_codes(rows, q, high, np.random.default_rng(0))
    index = drawn @ high ** np.arange(q)
    expected = {sum(c * high**i for i, c in enumerate(p)) for p in itertools.permutations(range(high), q)}
    seen, count = np.unique(index, return_counts=True)
    assert set(seen.tolist()) == expected
    chi2 = ((count - rows / len(expected)) ** 2 / (rows / len(expected))).sum()
    free = len(expected) - 1
    assert abs(chi2 - free) < 4 * np.sqrt(2 * free)


@pytest.mark.parametrize(
    ("rows", "q", "high"), [(1, 5000, 2**62), (1, 5000, 10_000), (300, 40, 81), (3, 7, 7)]
)
def test_rows_hold_no_number_twice(rows, q, high):
    drawn = distinct_codes(rows, q, high, np.random.default_rng(1))
    assert drawn.shape == (rows, q)
    assert drawn.min() >= 0 and drawn.max() < high
    assert all(len(set(row.tolist())) == q for row in drawn)


def test_unequal_chances_follow_sequential_draws():
    """Draws of 0, 1, 2 with chances p: P(first a, then b) = p_a p_b / (1 - p_a)."""
    chance, rng, rows = np.array([0.6, 0.3, 0.1]), np.random.default_rng(2), 60_000
    drawn = draw_distinct(rows, 2, lambda m: rng.choice(3, m, p=chance), lambda codes: codes)
    for a, b in itertools.permutations(range(3), 2):
        p = chance[a] * chance[b] / (1 - chance[a])
        seen = ((drawn[:, 0] == a) & (drawn[:, 1] == b)).mean()
        assert abs(seen - p) < 4 * np.sqrt(p * (1 - p) / rows)
