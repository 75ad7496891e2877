"""Against scipy, but for one rule: a prompt whose scores are all equal counts 0."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr

from rmlab.metrics.order import ScoreOrder
from rmlab.metrics.rank_correlation import constant_of, kendall, spearman

METRICS = [(spearman, spearmanr), (kendall, kendalltau)]


def by_scipy(reference, scores, golden, group):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy warns of constant input; so NaN is what we compare
        return [of_prompt(reference, scores[group == p], golden[group == p]) for p in np.unique(group)]


def of_prompt(reference, scores, golden):
    if len(set(golden)) == 1:
        return np.nan  # no order to find
    return reference(scores, golden).statistic if len(set(scores)) > 1 else 0.0


@pytest.mark.parametrize(("metric", "reference"), METRICS)
@settings(max_examples=80, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    levels=st.sampled_from([1, 2, 4, 10**6]),
    seed=st.integers(0, 10**6),
)
def test_it_equals_scipy_with_ties_and_undefined_prompts(metric, reference, sizes, levels, seed):
    rng = np.random.default_rng(seed)
    group = rng.permutation(np.repeat(np.arange(len(sizes)) * 3 - 5, sizes))
    scores, golden = rng.integers(0, levels, (2, len(group))).astype(float)
    expected = by_scipy(reference, scores, golden, group)
    np.testing.assert_allclose(metric(ScoreOrder.flat(scores, golden, group)), expected, atol=1e-12)


@pytest.mark.parametrize(("metric", "reference"), METRICS)
def test_it_equals_scipy_at_five_hundred_responses(metric, reference, monkeypatch):
    monkeypatch.setattr("rmlab.metrics.order.CELLS", 10**6)  # several blocks
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(12), 500)
    golden = rng.normal(size=6000)
    scores = np.round(golden + rng.normal(size=6000), 1)
    expected = by_scipy(reference, scores, golden, group)
    np.testing.assert_allclose(metric(ScoreOrder.flat(scores, golden, group)), expected, atol=1e-12)


@pytest.mark.parametrize(("metric", "reference"), METRICS)
def test_a_constant_head_shows_no_order_and_a_constant_golden_reward_has_none(metric, reference):
    group = np.repeat(np.arange(3), 3)
    scores = np.array([1, 2, 3, 5, 5, 5, 3, 2, 1], dtype=float)
    golden = np.array([1, 2, 3, 1, 2, 3, 1, 2, 3], dtype=float)
    np.testing.assert_allclose(metric(ScoreOrder.flat(scores, golden, group)), [1, 0, -1])
    np.testing.assert_allclose(metric(ScoreOrder.flat(golden, scores, group)), [1, np.nan, -1])


@pytest.mark.parametrize(("metric", "reference"), METRICS)
def test_a_monotone_transform_changes_nothing(metric, reference):
    rng = np.random.default_rng(0)
    scores, golden = rng.normal(size=(2, 60))
    group = np.repeat(np.arange(6), 10)
    expected = metric(ScoreOrder.flat(scores, golden, group))
    np.testing.assert_array_equal(metric(ScoreOrder.flat(np.exp(scores), golden, group)), expected)
    np.testing.assert_allclose(metric(ScoreOrder.flat(-scores, golden, group)), -expected)


def test_a_head_that_is_constant_on_nineteen_of_twenty_prompts_does_not_get_one():
    group, golden = np.repeat(np.arange(20), 5), np.tile(np.arange(5.0), 20)
    scores = np.where(group == 7, golden, 3.0)
    for metric in (spearman, kendall):
        assert metric(ScoreOrder.flat(scores, golden, group)).mean() == pytest.approx(1 / 20)
    counted = constant_of(ScoreOrder.flat(scores, golden, group))
    np.testing.assert_array_equal(counted, np.arange(20) != 7)


def test_prompts_without_an_order_are_not_counted_as_constant():
    group = np.array([0, 0, 1, 2, 2])
    order = ScoreOrder.flat(np.zeros(5), np.array([1.0, 1, 4, 2, 3]), group)
    np.testing.assert_array_equal(constant_of(order), [False, False, True])
