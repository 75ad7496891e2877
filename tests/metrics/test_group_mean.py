"""Means over pairs with intervals over groups, against resampling by hand."""

import tracemalloc

import numpy as np
import pytest
from scipy import stats

from rmlab.errors import InputError
from rmlab.metrics.group_mean import credit, group_means, within_group_line
from rmlab.metrics.intervals import Resamples


def draw(n_groups, n=400, seed=0):
    return Resamples.draw(n_groups, np.random.default_rng(seed), n)


def test_a_resample_holds_whole_groups_and_pairs_count_alike():
    rng = np.random.default_rng(1)
    group = np.array([0, 0, 0, 0, 1, 2, 2, 3])
    values = rng.random((8, 2))
    resamples = draw(4)
    mean, low, high = group_means(values, group, resamples)
    by_hand = []
    for counts in resamples.counts:
        rows = [r for g, times in enumerate(counts) for r in np.flatnonzero(group == g).tolist() * int(times)]
        by_hand.append(values[rows].mean(axis=0))
    np.testing.assert_allclose(mean, values.mean(axis=0))
    t, z = stats.t.ppf(0.975, 3), stats.norm.ppf(0.975)
    for k in range(2):
        # Cochran 1977: the variance of a ratio is that of the groups' sums less ratio times size
        sums, size = np.bincount(group, values[:, k]), np.bincount(group)
        e = (sums - mean[k] * size) / size.mean()
        se = np.sqrt((e**2).sum() / 3 / 4)
        shift = se * stats.skew(e, bias=False) / 6 * (1 + 2 * t**2) / 2
        means = np.array(by_hand)[:, k]
        ends = (np.quantile(means, [0.025, 0.975]) - mean[k]) * t / z * se / means.std()
        assert low[k] == pytest.approx(mean[k] + min(ends[0], shift - t * se))
        assert high[k] == pytest.approx(mean[k] + max(ends[1], shift + t * se))


def test_groups_of_one_pair_are_the_plain_bootstrap():
    values, resamples = np.random.default_rng(2).random((50, 3)), draw(50)
    for mine, theirs in zip(
        group_means(values, np.arange(50), resamples), resamples.intervals(values), strict=True
    ):
        np.testing.assert_allclose(mine, theirs)


def test_pairs_that_go_together_widen_the_interval():
    """Ten copies of each pair are no new evidence: the interval is that of the pairs without copies."""
    values = np.random.default_rng(3).integers(0, 2, (60, 1)).astype(float)
    copied, group = np.repeat(values, 10, axis=0), np.repeat(np.arange(60), 10)
    _, low, high = group_means(copied, group, draw(60))
    _, plain_low, plain_high = group_means(values, np.arange(60), draw(60))
    _, naive_low, naive_high = group_means(copied, np.arange(600), draw(600))
    np.testing.assert_allclose([low, high], [plain_low, plain_high])
    assert (high - low) > 2.5 * (naive_high - naive_low)


def test_a_group_without_pairs_is_refused():
    with pytest.raises(InputError, match="a pair in every group"):
        group_means(np.ones((2, 1)), np.array([0, 1]), draw(3))


def test_equal_scores_count_half():
    np.testing.assert_array_equal(credit(np.array([2.0, -0.1, 0.0])), [1, 0, 0.5])


def test_many_groups_are_resampled_in_slices(monkeypatch):
    """The same numbers, without all counts as floats at once."""
    rng = np.random.default_rng(4)
    group, resamples = np.arange(4000), draw(4000, n=500)
    values = rng.random((4000, 2))
    whole = group_means(values, group, resamples)
    monkeypatch.setattr("rmlab.metrics.intervals.CELLS", 40_000)
    tracemalloc.start()
    parts = group_means(values, group, resamples)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_allclose(parts, whole)
    assert peak < resamples.counts.size * 8 / 4


def test_the_line_within_groups_is_least_squares_with_a_level_a_group():
    rng = np.random.default_rng(0)
    group = np.repeat([3, 5, 9, 11], [4, 7, 2, 5])
    x, y = rng.normal(size=(2, len(group))) + group
    levels = (group[:, None] == np.unique(group)).astype(float)
    slope = np.linalg.lstsq(np.column_stack([x, levels]), y)[0][0]
    found, intercept = within_group_line(x, y, group)
    assert found == pytest.approx(slope) and intercept == pytest.approx(y.mean() - slope * x.mean())
    assert within_group_line(group * 1.0, y, group) == (0.0, pytest.approx(y.mean()))


def test_a_noisy_proxy_expects_too_much_until_it_is_in_golden_units():
    """Golden and proxy of correlation .6, best of 100: E max = 2.51, so the raw proxy expects 2.51 * .4 too much."""
    rng = np.random.default_rng(0)
    rho, n_prompts, n = 0.6, 6000, 100
    golden = rng.normal(size=(n_prompts, n))
    proxy = rho * golden + np.sqrt(1 - rho**2) * rng.normal(size=(n_prompts, n))
    slope, intercept = within_group_line(
        proxy[:500].ravel(), golden[:500].ravel(), np.repeat(np.arange(500), n)
    )
    best = proxy[500:].argmax(axis=1)[:, None]
    expected, got = (np.take_along_axis(of[500:], best, 1).mean() for of in (proxy, golden))
    assert expected - got == pytest.approx(2.508 * 0.4, abs=0.04)
    assert intercept + slope * expected - got == pytest.approx(0, abs=0.04)
