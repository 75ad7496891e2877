"""The interval over prompts and seeds: coverage on data whose truth is known, and what it must equal."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from rmlab.errors import InputError
from rmlab.study.two_way import effect, resampled_means, variance_of_mean

TRUTH = 0.3


def made(
    rng: np.random.Generator, sizes: tuple[int, int], deviations: tuple[float, float, float]
) -> np.ndarray:
    """truth + seed effect + prompt effect + noise: [S, P]."""
    (s, p), (of_seeds, of_prompts, of_cells) = sizes, deviations
    cells = of_cells * rng.normal(size=sizes)
    return TRUTH + of_seeds * rng.normal(size=(s, 1)) + of_prompts * rng.normal(size=(1, p)) + cells


@pytest.mark.parametrize(
    ("sizes", "deviations"),
    [
        ((5, 60), (0.0, 1.0, 0.5)),  # prompts decide
        ((5, 60), (0.3, 0.3, 0.5)),  # seeds decide
        ((5, 60), (0.1, 0.8, 1.0)),
        ((10, 40), (0.2, 1.0, 1.0)),
    ],
)
def test_intervals_cover_the_truth_as_often_as_they_say(sizes, deviations):
    rng = np.random.default_rng(1)
    n = 600
    found = [effect(made(rng, sizes, deviations), rng, n=300) for _ in range(n)]
    covered = np.mean([e.low <= TRUTH <= e.high for e in found])
    error = np.sqrt(0.95 * 0.05 / n)
    assert 0.95 - 4 * error < covered < 0.95 + 4 * error
    assert np.std([e.value for e in found]) == pytest.approx(np.mean([e.se for e in found]), rel=0.15)


def test_plain_percentiles_of_few_seeds_would_not_cover():
    """What the expansion is for."""
    rng = np.random.default_rng(2)
    covered = []
    for _ in range(300):
        means = resampled_means(made(rng, (5, 60), (0.3, 0.1, 0.1)), rng, 300)
        low, high = np.quantile(means, [0.025, 0.975])
        covered.append(low <= TRUTH <= high)
    assert np.mean(covered) < 0.9


def test_the_standard_error_is_unbiased():
    rng = np.random.default_rng(3)
    sizes, (s, p, e) = (6, 30), (0.4, 0.7, 0.9)
    found = [variance_of_mean(made(rng, sizes, (s, p, e)))[0] for _ in range(2000)]
    assert np.mean(found) == pytest.approx(s**2 / 6 + p**2 / 30 + e**2 / 180, rel=0.06)


def test_a_resample_is_the_mean_of_rows_and_columns_drawn():
    values = np.arange(6.0).reshape(2, 3) ** 2
    drawn = resampled_means(values, np.random.default_rng(0), 4000)
    again = np.random.default_rng(5)
    slow = [values[np.ix_(again.integers(0, 2, 2), again.integers(0, 3, 3))].mean() for _ in range(4000)]
    assert stats.ks_2samp(drawn, slow).pvalue > 0.001
    assert drawn.min() == values[0, 0] and drawn.max() == values[1, 2]


def test_one_seed_is_student_s_t_over_prompts():
    values = np.random.default_rng(0).normal(size=(1, 50))
    found = effect(values, np.random.default_rng(1), n=20000)
    expected = stats.t.interval(0.95, 49, values.mean(), stats.sem(values[0]))
    assert found.se == pytest.approx(stats.sem(values[0])) and found.df == 49
    np.testing.assert_allclose([found.low, found.high], expected, atol=0.02)
    assert found.p_not(0.0) == pytest.approx(stats.ttest_1samp(values[0], 0.0).pvalue)


def test_what_is_detectable_has_the_power_that_it_says():
    rng = np.random.default_rng(4)
    sizes, deviations = (5, 60), (0.05, 1.0, 0.5)
    first = [effect(made(rng, sizes, deviations), rng, n=200).detectable for _ in range(50)]
    shift = float(np.median(first)) - TRUTH
    shown = [effect(made(rng, sizes, deviations) + shift, rng, n=200).low > 0 for _ in range(400)]
    assert 0.72 < np.mean(shown) < 0.88


@pytest.mark.parametrize("value", [0.1, 0.3, -1 / 3, 1e-17, 1234.567, 0.1 + 0.2 - 0.3])
@pytest.mark.parametrize("sizes", [(1, 7), (5, 60), (3, 11)])
def test_a_constant_has_no_interval_whatever_its_rounding(value, sizes):
    rounded = np.full(sizes, value) * (1 + 1e-16 * np.arange(sizes[1]))
    found = effect(rounded, np.random.default_rng(0))
    assert found.low == found.value == found.high == pytest.approx(value, rel=1e-12, abs=1e-12)
    assert found.se == 0
    assert found.low <= 0 or value > 1e-6  # what is nothing but rounding supports no claim


def test_no_variance_and_too_little():
    found = effect(np.full((3, 4), 0.5), np.random.default_rng(0))
    assert found.value == found.low == found.high == 0.5 and found.se == 0
    assert found.p_not(0.0) == 0 and found.p_not(0.5) == 1
    assert effect(np.zeros((3, 4)), np.random.default_rng(0)).p_not(0.0) == 1
    with pytest.raises(InputError, match="needs a seed and 2 prompts: got 5 and 1"):
        effect(np.zeros((5, 1)), np.random.default_rng(0))
