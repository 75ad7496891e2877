"""Intervals over set-ups, seeds and prompts: coverage of a known truth, and what they must equal."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from rmlab.errors import InputError
from rmlab.study.effects import (
    RESAMPLES,
    crossing,
    difference_of_shares,
    effect,
    resampled_means,
    variance_of_mean,
)

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
        means = resampled_means(made(rng, (5, 60), (0.3, 0.1, 0.1))[None], rng, 300)
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
    drawn = resampled_means(values[None], np.random.default_rng(0), 4000)
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
    for alternative, p in (("greater", found.p_above), ("less", found.p_below)):
        assert p(0.1) == pytest.approx(stats.ttest_1samp(values[0], 0.1, alternative=alternative).pvalue)


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
    assert found.p_above(0.0) == 0 and found.p_above(0.5) == found.p_below(0.5) == found.p_below(0.0) == 1
    nothing = effect(np.zeros((3, 4)), np.random.default_rng(0))
    assert nothing.p_above(0.0) == nothing.p_below(0.0) == 1
    with pytest.raises(InputError, match="needs 1 seed and 2 prompts, but there are 5 and 1"):
        effect(np.zeros((5, 1)), np.random.default_rng(0))


def made_on_setups(
    rng: np.random.Generator, sizes: tuple[int, int, int], deviations: dict[str, float]
) -> np.ndarray:
    """Truth and random effects of set-ups, seeds, prompts and all their interactions: [U, S, P]."""
    total = np.full(sizes, TRUTH)
    for factors, deviation in deviations.items():
        shape = [n if name in factors else 1 for name, n in zip("usp", sizes, strict=True)]
        total = total + deviation * rng.normal(size=shape)
    return total


ALL = {"u": 0.2, "s": 0.1, "p": 0.3, "us": 0.15, "up": 0.4, "sp": 0.3, "usp": 0.8}


def test_the_variance_over_three_factors_is_unbiased():
    rng, sizes = np.random.default_rng(5), (8, 5, 60)
    strong = ALL | {"s": 0.4}  # so that the floor, which only ever adds, hardly acts
    found = [variance_of_mean(made_on_setups(rng, sizes, strong))[0] for _ in range(1500)]
    n = dict(zip("usp", sizes, strict=True))
    truth = sum(d**2 / np.prod([n[f] for f in factors]) for factors, d in strong.items())
    assert np.mean(found) == pytest.approx(truth, rel=0.08)


def test_the_variance_is_that_of_the_formula_by_hand():
    values = np.random.default_rng(0).normal(size=(4, 3, 7)) + np.arange(4)[:, None, None]
    u, s, p = values.shape
    grand = values.mean()
    a = values.mean(axis=(1, 2)) - grand
    b = values.mean(axis=(0, 2)) - grand
    c = values.mean(axis=(0, 1)) - grand
    ab = values.mean(axis=2) - grand - a[:, None] - b
    ac = values.mean(axis=1) - grand - a[:, None] - c
    bc = values.mean(axis=0) - grand - b[:, None] - c
    rest = values - grand - a[:, None, None] - b[:, None] - c - ab[:, :, None] - ac[:, None] - bc
    ms = {
        "a": s * p * (a**2).sum() / (u - 1), "b": u * p * (b**2).sum() / (s - 1),
        "c": u * s * (c**2).sum() / (p - 1), "ab": p * (ab**2).sum() / ((u - 1) * (s - 1)),
        "ac": s * (ac**2).sum() / ((u - 1) * (p - 1)), "bc": u * (bc**2).sum() / ((s - 1) * (p - 1)),
        "abc": (rest**2).sum() / ((u - 1) * (s - 1) * (p - 1)),
    }  # fmt: skip
    total = ms["a"] + ms["b"] + ms["c"] - ms["ab"] - ms["ac"] - ms["bc"] + ms["abc"]
    expected = max(total, ms["a"], ms["b"], ms["c"]) / values.size
    assert variance_of_mean(values)[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    "deviations",
    [ALL, {"u": 0.3, "usp": 0.3}, {"p": 1.0, "up": 0.5, "usp": 0.5}, {"s": 0.2, "us": 0.2, "usp": 0.5}],
)
def test_intervals_over_set_ups_cover_the_truth(deviations):
    rng, n = np.random.default_rng(6), 400
    found = [effect(made_on_setups(rng, (8, 5, 60), deviations), rng, n=300) for _ in range(n)]
    covered = np.mean([e.low <= TRUTH <= e.high for e in found])
    error = np.sqrt(0.95 * 0.05 / n)
    assert 0.95 - 4 * error < covered < 0.95 + 4.5 * error
    assert found[0].n_setups == 8


def test_one_set_up_is_the_case_of_seeds_and_prompts():
    values = np.random.default_rng(7).normal(size=(5, 60))
    assert variance_of_mean(values[None]) == variance_of_mean(values)
    assert variance_of_mean(values[:, None]) == pytest.approx(variance_of_mean(values))


def test_an_end_moves_by_less_than_the_edge_under_another_bootstrap():
    values = made(np.random.default_rng(8), (5, 60), (0.1, 0.8, 1.0))
    found = [effect(values, np.random.default_rng(seed)) for seed in range(20)]
    moved = max(np.ptp([e.low for e in found]), np.ptp([e.high for e in found]))
    assert 0 < moved < 2 * found[0].edge < 0.2 * found[0].se * 2
    assert RESAMPLES >= 10_000


def test_shares_are_ratios_of_means_with_the_interval_of_a_simulation():
    rng, n, means = np.random.default_rng(9), 300, np.array([0.6, 1.2, 0.3, 0.9])
    truth = means[0] / means[1] - means[2] / means[3]
    found = []
    for _ in range(n):
        prompts, seeds = 0.5 * rng.normal(size=(4, 1, 1, 60)), 0.1 * rng.normal(size=(4, 1, 5, 1))
        parts = means[:, None, None, None] + prompts + seeds + 0.4 * rng.normal(size=(4, 1, 5, 60))
        found.append(difference_of_shares(parts, rng, 300))
    covered = np.mean([e.low <= truth <= e.high for e in found])
    assert 0.95 - 4 * np.sqrt(0.05 * 0.95 / n) < covered
    assert np.mean([e.se for e in found]) == pytest.approx(np.std([e.value for e in found]), rel=0.15)
    exact = means[:, None, None, None] * np.ones((4, 1, 3, 5))
    assert difference_of_shares(exact, rng).value == pytest.approx(truth)


def test_shares_of_a_small_gain_have_no_narrow_interval():
    """Resampled gains near 0 make huge shares, which must not shrink what the others span."""
    rng, n, means = np.random.default_rng(13), 300, np.array([0.1, 0.25, 0.6, 1.2])
    truth, inside, widths = means[0] / means[1] - means[2] / means[3], [], []
    for _ in range(n):
        prompts, seeds = 0.5 * rng.normal(size=(4, 1, 1, 60)), 0.1 * rng.normal(size=(4, 1, 5, 1))
        parts = means[:, None, None, None] + prompts + seeds + 0.4 * rng.normal(size=(4, 1, 5, 60))
        if effect(parts[1], rng, 300).low > 0:  # else there is no share, and the claim is not run
            found = difference_of_shares(parts, rng, 300)
            inside.append(found.low <= truth <= found.high)
            widths.append((found.high - found.low) / (2 * found.se * stats.t.ppf(0.975, found.df)))
    assert len(inside) > 100 and np.mean(inside) > 0.9 and min(widths) > 0.8


X = np.array([0.05, 0.1, 0.2, 0.3, 0.38])


def curve(rng: np.random.Generator, slope: float, at: float) -> np.ndarray:
    """Differences that cross 0 at `at`: [X, 1, S, P]."""
    noise = 0.1 * rng.normal(size=(1, 1, 5, 1)) + 0.4 * rng.normal(size=(1, 1, 1, 60))
    return slope * (X - at)[:, None, None, None] + noise + 0.5 * rng.normal(size=(5, 1, 5, 60))


def test_where_a_line_crosses_zero_is_covered():
    rng, n = np.random.default_rng(10), 300
    found = [crossing(curve(rng, 2.0, 0.15), X) for _ in range(n)]
    covered = np.mean([c.low <= 0.15 <= c.high for c in found])
    assert 0.95 - 4 * np.sqrt(0.05 * 0.95 / n) < covered and np.mean([c.is_known for c in found]) > 0.9
    assert np.median([c.value for c in found]) == pytest.approx(0.15, abs=0.02)


def test_the_ends_of_a_crossing_are_where_the_height_is_just_told_from_zero():
    values = curve(np.random.default_rng(11), 2.0, 0.15)
    found = crossing(values, X)
    fitted = np.polynomial.polynomial.polyfit(X, values.mean(axis=(1, 2, 3)), 1)
    assert found.value == pytest.approx(-fitted[0] / fitted[1]) and not found.is_outside
    design = np.column_stack([np.ones_like(X), X])
    lines = np.linalg.pinv(design) @ values.reshape(5, -1)
    for end in (found.low, found.high):
        height = (lines[0] + end * lines[1]).reshape(5, 60)
        variance, df = variance_of_mean(height)
        assert abs(height.mean()) == pytest.approx(stats.t.ppf(0.975, df) * np.sqrt(variance))


def test_a_line_without_a_slope_crosses_anywhere():
    flat = crossing(curve(np.random.default_rng(12), 0.0, 0.0), X)
    assert not flat.is_known and (flat.low, flat.high) == (-np.inf, np.inf)
    beyond = crossing(curve(np.random.default_rng(12), 5.0, 0.6), X)
    assert beyond.is_known and beyond.is_outside and beyond.value == pytest.approx(0.6, abs=0.1)
    exact = crossing(np.tile((X - 0.2)[:, None, None, None], (1, 1, 2, 3)), X)
    assert exact.low == exact.value == exact.high == pytest.approx(0.2)
