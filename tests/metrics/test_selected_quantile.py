from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from rmlab.errors import InputError
from rmlab.metrics.among_n import selected_quantile
from rmlab.metrics.order import ScoreOrder


def brute_force(scores: np.ndarray, golden: np.ndarray, n: int) -> float:
    """Mean over all subsets of n, the best chosen among ties uniformly."""
    quantile = (rankdata(golden) - 1) / (len(golden) - 1)
    found = []
    for subset in itertools.combinations(range(len(scores)), n):
        rows = np.array(subset)
        found.append(quantile[rows[scores[rows] == scores[rows].max()]].mean())
    return float(np.mean(found))


@settings(max_examples=100, deadline=None)
@given(
    sizes=st.lists(st.integers(2, 7), min_size=1, max_size=4),
    levels=st.sampled_from([1, 2, 4, 10**6]),
    seed=st.integers(0, 10**6),
)
def test_it_equals_enumeration_of_all_subsets(sizes, levels, seed):
    rng = np.random.default_rng(seed)
    group = rng.permutation(np.repeat(np.arange(len(sizes)) * 3 - 5, sizes))
    scores, golden = rng.integers(0, levels, (2, len(group))).astype(float)
    found = selected_quantile(ScoreOrder.flat(scores, golden, group), [1, 2, 5])
    for row, p in zip(found, np.unique(group)):
        s, g = scores[group == p], golden[group == p]
        expected = [brute_force(s, g, n) if n <= len(s) else np.nan for n in (1, 2, 5)]
        np.testing.assert_allclose(row, expected, atol=1e-12)


def test_random_has_one_half_the_oracle_one_and_its_opposite_zero():
    golden = np.random.default_rng(0).normal(size=40)
    group = np.repeat(np.arange(4), 10)
    np.testing.assert_allclose(
        selected_quantile(ScoreOrder.flat(np.zeros(40), golden, group), [1, 3, 10]), 0.5
    )
    np.testing.assert_allclose(selected_quantile(ScoreOrder.flat(golden, golden, group), [10]), 1)
    np.testing.assert_allclose(
        selected_quantile(ScoreOrder.flat(-golden, golden, group), [10]), 0, atol=1e-12
    )


def test_it_has_no_unit():
    golden, scores = np.random.default_rng(1).normal(size=(2, 40))
    group = np.repeat(np.arange(4), 10)
    expected = selected_quantile(ScoreOrder.flat(scores, golden, group), [4])
    np.testing.assert_array_equal(
        selected_quantile(ScoreOrder.flat(scores, np.exp(5 * golden), group), [4]), expected
    )


def test_ties_of_the_golden_reward_are_shared_and_a_single_response_has_no_quantile():
    group = np.array([0, 0, 0, 1, 2, 2])
    golden = np.array([1.0, 1, 0, 3, 2, 2])
    found = selected_quantile(ScoreOrder.flat(np.array([3.0, 2, 1, 0, 1, 0]), golden, group), [1, 2])
    np.testing.assert_allclose(found, [[0.5, 0.75], [np.nan, np.nan], [0.5, 0.5]])


def test_n_below_one_is_refused():
    with pytest.raises(InputError, match="needs N from 1"):
        selected_quantile(ScoreOrder.flat(np.zeros(3), np.zeros(3), np.zeros(3)), [0])
