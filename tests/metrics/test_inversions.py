from __future__ import annotations

import itertools

import numpy as np
import pytest

from rmlab.metrics.order import inversions


def double_loop(row: np.ndarray) -> int:
    return sum(a > b for a, b in itertools.combinations(row, 2))


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 31, 33])
def test_it_equals_a_double_loop(k):
    rng = np.random.default_rng(k)
    rows = np.array([rng.permutation(k) for _ in range(20)])
    np.testing.assert_array_equal(inversions(rows), [double_loop(row) for row in rows])


def test_every_permutation_of_five():
    rows = np.array(list(itertools.permutations(range(5))))
    np.testing.assert_array_equal(inversions(rows), [double_loop(row) for row in rows])


@pytest.mark.parametrize("k", [500, 2**14, 2**14 + 1, 40_000])
def test_the_ends_are_exact_in_long_rows(k):
    rows = np.stack([np.arange(k), np.arange(k)[::-1], np.roll(np.arange(k), 1)])
    np.testing.assert_array_equal(inversions(rows), [0, k * (k - 1) // 2, k - 1])
