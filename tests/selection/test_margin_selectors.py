"""The selectors that look at score differences alone, or at nothing."""

from __future__ import annotations

import numpy as np
from scipy.special import expit
from scipy.stats import entropy

from rmlab.selection.base import Candidates
from rmlab.selection.by_score import Entropy, MaxDifference, Uniform


def candidates_of(margin: list[float] | np.ndarray) -> Candidates:
    c = len(margin)
    return Candidates(np.ones((c, 2)), np.array(margin), np.ones((0, 2)), np.ones(0))


def chosen(selector, margin: list[float] | np.ndarray, n: int, seed: int = 0) -> list[int]:
    return selector(candidates_of(margin), n, np.random.default_rng(seed)).tolist()


def test_by_hand():
    margin = [3.0, -0.1, 0.5, -4.0, 1e4]
    assert chosen(Entropy(), margin, 5) == [1, 2, 0, 3, 4]
    assert chosen(MaxDifference(), margin, 5) == [4, 3, 0, 2, 1]


def test_order_is_that_of_the_binary_entropy():
    margin = np.random.default_rng(0).normal(scale=3, size=200)
    p = expit(margin)
    by_entropy = np.argsort(-entropy(np.stack([p, 1 - p])))
    assert chosen(Entropy(), margin, 200) == by_entropy.tolist()


def test_order_holds_where_the_entropy_is_zero_in_floating_point():
    assert chosen(Entropy(), [-9999.0, 5000.0, 1e4, -800.0], 4) == [3, 1, 0, 2]


def test_ties_are_broken_at_random():
    for selector, margin in [
        (Entropy(), [0.0, 2.0, -2.0, 2.0, 5.0]),
        (MaxDifference(), [7.0, 2.0, -2.0, 2.0, 1.0]),
    ]:
        pairs = [tuple(chosen(selector, margin, 2, seed)) for seed in range(900)]
        assert {first for first, _ in pairs} == {0}
        count = np.bincount([second for _, second in pairs], minlength=5)
        assert count[[0, 4]].tolist() == [0, 0]
        assert np.abs(count[[1, 2, 3]] - 300).max() < 60


def test_uniform_takes_each_set_equally_often():
    seen = [tuple(sorted(chosen(Uniform(), [0.0, 9.0, -9.0, 1.0], 2, seed))) for seed in range(1800)]
    count = np.unique(seen, axis=0, return_counts=True)[1]  # 6 sets, each expected 300 times, sd about 16
    assert len(count) == 6
    assert np.abs(count - 300).max() < 65
