from __future__ import annotations

import itertools
from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmlab.errors import InputError
from rmlab.metrics.among_n import best_of_n, default_ns, kl_of_n, proxy_of_n
from rmlab.metrics.order import ScoreOrder


def of_rows(scores: np.ndarray, golden: np.ndarray) -> ScoreOrder:
    """scores, golden: [P, K], a row for each prompt."""
    group = np.repeat(np.arange(len(scores)), scores.shape[1])
    return ScoreOrder.flat(scores.ravel(), golden.ravel(), group)


def brute_force(scores: np.ndarray, golden: np.ndarray, n: int) -> float:
    """Mean over all subsets of n of the golden reward of its best, ties chosen among uniformly."""
    found = []
    for subset in itertools.combinations(range(len(scores)), n):
        rows = np.array(subset)
        best = rows[scores[rows] == scores[rows].max()]
        found.append(golden[best].mean())
    return float(np.mean(found))


@settings(max_examples=100, deadline=None)
@given(k=st.integers(1, 7), levels=st.integers(1, 8), seed=st.integers(0, 10**6))
def test_it_equals_enumeration_of_all_subsets(k, levels, seed):
    rng = np.random.default_rng(seed)
    scores, golden = rng.integers(0, levels, (3, k)).astype(float), rng.normal(size=(3, k))
    ns = list(range(1, k + 1))
    expected = [[brute_force(s, g, n) for n in ns] for s, g in zip(scores, golden, strict=True)]
    np.testing.assert_allclose(best_of_n(of_rows(scores, golden), ns), expected, atol=1e-12)


def test_weights_are_exact_at_five_hundred_responses():
    ns = default_ns(500)
    scores = np.tile(-np.arange(500.0), (500, 1))
    weights = best_of_n(of_rows(scores, np.eye(500)), ns)  # row k: the weight of rank k+1
    for column, n in zip(weights.T, ns, strict=True):
        exact = [float(Fraction(comb(500 - k, n - 1), comb(500, n))) for k in range(1, 501)]
        np.testing.assert_allclose(column, exact, rtol=1e-11, atol=1e-300)
        assert column.sum() == pytest.approx(1, abs=1e-12)


def test_bounds_hold_and_n_is_the_identity_at_its_ends():
    rng = np.random.default_rng(0)
    scores, golden = rng.normal(size=(20, 30)), rng.normal(size=(20, 30))
    ns = default_ns(30)
    curve, oracle = best_of_n(of_rows(scores, golden), ns), best_of_n(of_rows(golden, golden), ns)
    np.testing.assert_allclose(curve[:, 0], golden.mean(axis=1))
    np.testing.assert_allclose(curve[:, -1], golden[np.arange(20), scores.argmax(axis=1)])
    np.testing.assert_allclose(oracle[:, -1], golden.max(axis=1))
    assert (curve <= oracle + 1e-12).all()
    assert (np.diff(oracle, axis=1) > 0).all()


def test_a_constant_head_gets_the_random_bound_at_every_n():
    golden = np.random.default_rng(0).normal(size=(4, 12))
    curve = best_of_n(of_rows(np.zeros((4, 12)), golden), [1, 5, 12])
    np.testing.assert_allclose(curve, np.repeat(golden.mean(axis=1)[:, None], 3, axis=1))


def test_ragged_prompts_equal_prompt_by_prompt():
    rng = np.random.default_rng(1)
    group = rng.permutation(np.repeat([9, -4, 3, 7, 5], [3, 8, 1, 8, 5]))
    scores, golden = rng.integers(0, 4, len(group)).astype(float), rng.normal(size=len(group))
    ns = [8, 1, 3, 5]
    result = best_of_n(ScoreOrder.flat(scores, golden, group), ns)
    assert result.shape == (5, 4)
    for row, prompt in zip(result, np.unique(group), strict=True):
        rows = group == prompt
        for value, n in zip(row, ns, strict=True):
            if n > rows.sum():
                assert np.isnan(value)
            else:
                assert value == pytest.approx(brute_force(scores[rows], golden[rows], n))


def test_the_proxy_is_the_expected_score_of_the_choice():
    rng = np.random.default_rng(2)
    group = rng.permutation(np.repeat([9, -4, 3], [3, 6, 5]))
    scores, golden = rng.integers(0, 4, len(group)).astype(float), rng.normal(size=len(group))
    found = proxy_of_n(ScoreOrder.flat(scores, golden, group), [1, 3, 6])
    for row, prompt in zip(found, np.unique(group), strict=True):
        mine = scores[group == prompt]
        for value, n in zip(row, (1, 3, 6), strict=True):
            assert np.isnan(value) if n > len(mine) else value == pytest.approx(brute_force(mine, mine, n))


def test_kl_grows_from_zero():
    assert kl_of_n(1) == 0
    assert kl_of_n(4) == pytest.approx(np.log(4) - 0.75)


@pytest.mark.parametrize(
    ("k", "ns"), [(1, [1]), (2, [1, 2]), (8, [1, 2, 4, 8]), (10, [1, 2, 4, 8, 10]), (3, [1, 2, 3])]
)
def test_default_ns_end_at_k(k, ns):
    assert default_ns(k) == ns


@pytest.mark.parametrize("ns", [[0], [-1], [1, 0]])
def test_n_below_one_is_refused(ns):
    with pytest.raises(InputError, match="needs N from 1"):
        best_of_n(of_rows(np.zeros((2, 3)), np.zeros((2, 3))), ns)


@pytest.mark.parametrize("bad", [0, 1])
def test_nan_is_refused(bad):
    arrays = [np.ones((2, 3)), np.ones((2, 3))]
    arrays[bad][1, 1] = np.nan
    with pytest.raises(InputError, match="NaN"):
        best_of_n(of_rows(*arrays), [1])
