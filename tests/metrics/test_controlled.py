from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import pearsonr, rankdata, spearmanr

from rmlab.metrics.accuracy import pairwise_accuracy, untied_pairs
from rmlab.metrics.controlled import STYLE, Balance, BalancedPairs, partial_correlation, style_of
from rmlab.metrics.intervals import Resamples
from rmlab.metrics.order import GoldenOrder, ScoreOrder
from rmlab.metrics.rank_correlation import spearman

NAMES = ("length_controlled_accuracy", "style_controlled_accuracy")


def world(n_prompts=40, k=8, seed=0, taste=1.0):
    """Golden rewards that like length and style, by `taste`; features: [m, 4], with ties of length."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(n_prompts), k)
    features = rng.normal(size=(len(group), 4))
    features[:, 0] = rng.integers(5, 15, len(group))
    golden = rng.normal(size=len(group)) + taste * (features[:, 0] / 3 + features[:, 1] - features[:, 2])
    return group, features, golden


def accuracies(group, features, golden, scores):
    first, second = untied_pairs(GoldenOrder.of(golden, group), 10**6, np.random.default_rng(0))
    style, n = features[first] - features[second], int(group.max()) + 1
    pairs = BalancedPairs.of(golden[first] > golden[second], style, group[first], n)
    return pairs.accuracy(scores[first] - scores[second])


def partial(scores, golden, length, group):
    return partial_correlation(
        spearman(ScoreOrder.flat(scores, golden, group)),
        spearman(ScoreOrder.flat(scores, length, group)),
        spearman(ScoreOrder.flat(length, golden, group)),
    )


def left_of(ranks, of):
    """Residuals of the regression of ranks on other ranks."""
    x = np.column_stack([np.ones(len(of)), of])
    return ranks - x @ np.linalg.lstsq(x, ranks, rcond=None)[0]


def test_the_partial_correlation_is_that_of_regression_residuals_of_ranks():
    group, features, golden = world(12)
    scores = np.round(golden + 3 * np.random.default_rng(1).normal(size=len(group)))  # ties too
    found = partial(scores, golden, features[:, 0], group)
    for prompt in range(12):
        s, g, by = (rankdata(x[group == prompt]) for x in (scores, golden, features[:, 0]))
        assert found[prompt] == pytest.approx(pearsonr(left_of(s, by), left_of(g, by)).statistic)


def test_partial_correlation_of_length_is_zero_and_of_golden_one():
    group, features, golden = world()
    np.testing.assert_array_equal(partial(features[:, 0], golden, features[:, 0], group), np.zeros(40))
    np.testing.assert_allclose(partial(golden, golden, features[:, 0], group), np.ones(40))
    np.testing.assert_array_equal(partial(np.zeros(320), golden, features[:, 0], group), np.zeros(40))


def test_partial_correlation_without_anything_to_control_or_to_find():
    rng = np.random.default_rng(0)
    scores, golden = rng.normal(size=(2, 18))
    group, length = np.repeat(np.arange(3), 6), np.arange(18.0)
    length[:6] = 4  # nothing to control
    golden[6:12] = 1  # nothing to find
    golden[12:] = length[12:] ** 2  # nothing that length does not give
    found = partial(scores, golden, length, group)
    assert found[0] == pytest.approx(spearmanr(scores[:6], golden[:6]).statistic)
    assert np.isnan(found[1:]).all()


def test_a_head_that_orders_by_one_feature_is_right_in_exactly_one_half():
    group, features, golden = world(taste=2.0)
    assert pairwise_accuracy(ScoreOrder.flat(features[:, 0], golden, group)).mean() > 0.7
    for name in NAMES:
        for sign in (1, -1):
            found = accuracies(group, features, golden, sign * features[:, 0])[name]
            np.testing.assert_allclose(found, 0.5, atol=1e-9)  # of no spread: it is one half in any sample
    for feature in range(1, 4):
        found = accuracies(group, features, golden, features[:, feature])
        assert np.mean(found["style_controlled_accuracy"]) == pytest.approx(0.5, abs=1e-9)


def test_golden_is_always_right_and_its_opposite_and_a_constant_never_and_half():
    group, features, golden = world()
    for name in NAMES:
        for scores, value in ((golden, 1), (-golden, 0), (np.zeros(len(golden)), 0.5)):
            np.testing.assert_allclose(accuracies(group, features, golden, scores)[name], value)


def test_what_has_nothing_to_do_with_style_keeps_its_accuracy():
    group, features, golden = world(400, taste=0.0)
    scores = golden + np.random.default_rng(2).normal(size=len(golden))
    plain = pairwise_accuracy(ScoreOrder.flat(scores, golden, group)).mean()
    for name in NAMES:
        assert accuracies(group, features, golden, scores)[name].mean() == pytest.approx(plain, abs=0.01)


def test_length_control_is_the_mean_of_the_accuracies_where_longer_and_shorter_is_better():
    """One pair a prompt, no two of one length."""
    rng = np.random.default_rng(3)
    group = np.repeat(np.arange(300), 2)
    length = rng.permutation(600).astype(float)
    golden = rng.normal(size=600) + length / 300
    scores = golden + rng.normal(size=600)
    found = accuracies(group, length[:, None], golden, scores)
    assert list(found) == ["length_controlled_accuracy"]
    right = np.diff(scores.reshape(300, 2))[:, 0] * np.diff(golden.reshape(300, 2))[:, 0] > 0
    longer = np.diff(length.reshape(300, 2))[:, 0] * np.diff(golden.reshape(300, 2))[:, 0] > 0
    expected = (right[longer].mean() + right[~longer].mean()) / 2
    assert found["length_controlled_accuracy"].mean() == pytest.approx(expected)


def test_weights_are_those_of_a_logistic_regression():
    rng = np.random.default_rng(4)
    signs, base = np.sign(rng.normal(0.3, 1, (500, 3))), rng.random(500) + 0.1
    signs[:, 2] = 0  # a feature that no pair differs in
    fit = minimize(lambda c: (base * np.logaddexp(0, -signs @ c)).sum(), np.zeros(3), tol=1e-12)
    expected = base / (1 + np.exp(signs @ fit.x))
    found = Balance.of(signs, base).weight
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    np.testing.assert_allclose(signs.T @ found, 0, atol=1e-9)


def test_where_style_decides_every_pair_nothing_is_left():
    group, features, _ = world()
    found = accuracies(group, features, features[:, 0], features[:, 0])
    assert all(np.isnan(found[name]).all() for name in NAMES)
    assert Balance.of(np.empty((0, 1)), np.empty(0)) is None


def test_prompts_without_pairs_are_left_out():
    pairs = BalancedPairs.of(
        np.array([True, False, True]), np.array([[1.0], [1], [-1]]), np.array([0, 0, 2]), 4
    )
    found = pairs.accuracy(np.ones(3))["length_controlled_accuracy"]
    np.testing.assert_array_equal(np.isnan(found), [False, True, False, True])


def test_intervals_over_prompts_hold_the_truth():
    resamples, values = Resamples.draw(22, np.random.default_rng(0), 500), []
    for seed in range(400):
        group, features, golden = world(22, 5, seed)
        scores = golden + features[:, 0] + np.random.default_rng([seed, 1]).normal(size=len(golden))
        values.append(accuracies(group, features, golden, scores)["length_controlled_accuracy"])
    table = np.column_stack(values)
    group, features, golden = world(4000, 5, 10**6)
    scores = golden + features[:, 0] + np.random.default_rng(1).normal(size=len(golden))
    truth = accuracies(group, features, golden, scores)["length_controlled_accuracy"].mean()
    _, low, high = resamples.intervals(table)
    assert 0.92 <= np.mean((low <= truth) & (truth <= high)) <= 0.98


def test_the_spread_is_that_over_samples_of_prompts():
    """Balanced anew in every sample, so that it holds what the balance itself adds or takes."""
    found = {name: [] for name in NAMES}
    for seed in range(300):
        group, features, golden = world(60, 5, seed, taste=0.5)
        scores = golden + features[:, 0] + np.random.default_rng([seed, 1]).normal(size=len(golden))
        for name, parts in accuracies(group, features, golden, scores).items():
            found[name].append((parts.mean(), parts.std(ddof=1) / 60**0.5))
    for pairs in found.values():
        means, errors = np.transpose(pairs)
        assert np.mean(errors) == pytest.approx(means.std(), rel=0.12)


def test_style_counts_what_it_names():
    text = "# Title\n\n- One, two.\n- one **two**"
    found = dict(zip(STYLE, style_of(text), strict=True))
    assert found["words"] == 8 and found["variety"] == 7 / 8
    assert found["punctuation"] == 4 / len(text)
    assert found["markdown"] == 8  # 3 line breaks, a heading, 2 list items, the 2 marks of one bold
    assert style_of("") == (0, 0, 0, 0)
