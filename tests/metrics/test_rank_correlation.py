from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr

from rmlab.metrics.rank_correlation import kendall, spearman

METRICS = [(spearman, spearmanr), (kendall, kendalltau)]


def by_scipy(reference, scores, golden, group):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy warns of constant input; so NaN is what we compare
        return [
            reference(scores[group == prompt], golden[group == prompt]).statistic
            if (group == prompt).sum() > 1
            else np.nan
            for prompt in np.unique(group)
        ]


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
    np.testing.assert_allclose(metric(scores, golden, group), expected, atol=1e-12)


@pytest.mark.parametrize(("metric", "reference"), METRICS)
def test_it_equals_scipy_at_five_hundred_responses(metric, reference, monkeypatch):
    monkeypatch.setattr("rmlab.metrics.base.CELLS", 10**6)  # several blocks
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(12), 500)
    golden = rng.normal(size=6000)
    scores = np.round(golden + rng.normal(size=6000), 1)
    expected = by_scipy(reference, scores, golden, group)
    np.testing.assert_allclose(metric(scores, golden, group), expected, atol=1e-12)


@pytest.mark.parametrize(("metric", "reference"), METRICS)
def test_nan_and_constant_prompts_are_undefined_and_leave_others_alone(metric, reference):
    group = np.repeat(np.arange(4), 3)
    scores = np.array([1, 2, 3, 5, 5, 5, 1, np.nan, 3, 3, 2, 1], dtype=float)
    golden = np.array([1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3], dtype=float)
    np.testing.assert_allclose(metric(scores, golden, group), [1, np.nan, np.nan, -1])
    np.testing.assert_allclose(metric(golden, scores, group), [1, np.nan, np.nan, -1])


@pytest.mark.parametrize(("metric", "reference"), METRICS)
def test_a_monotone_transform_changes_nothing(metric, reference):
    rng = np.random.default_rng(0)
    scores, golden = rng.normal(size=(2, 60))
    group = np.repeat(np.arange(6), 10)
    expected = metric(scores, golden, group)
    np.testing.assert_array_equal(metric(np.exp(scores), golden, group), expected)
    np.testing.assert_allclose(metric(-scores, golden, group), -expected)
