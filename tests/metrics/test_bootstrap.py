from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from rmlab.errors import InputError
from rmlab.metrics.intervals import Resamples, interval


def test_it_is_made_of_what_scipy_gives_on_a_seed():
    values = np.random.default_rng(0).exponential(size=80)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=1000, method="percentile", random_state=np.random.default_rng(7)
    ).confidence_interval
    mean, low, high = interval(values, np.random.default_rng(7))
    assert mean == pytest.approx(values.mean())
    se, t, g = values.std(ddof=1) / 80**0.5, stats.t.ppf(0.975, 79), stats.skew(values, bias=False)
    draws = np.random.default_rng(7).choice(values, (1000, 80)).mean(axis=1)
    stretch = t / stats.norm.ppf(0.975) * se / draws.std()
    shifted = mean + se * g / 6 * (1 + 2 * t**2) / 80**0.5
    assert low == pytest.approx(min(mean + (expected.low - mean) * stretch, shifted - t * se))
    assert high == pytest.approx(max(mean + (expected.high - mean) * stretch, shifted + t * se))


def test_blocks_of_resamples_draw_the_same_prompts(monkeypatch):
    values = np.random.default_rng(0).normal(size=50)
    whole = interval(values, np.random.default_rng(1))
    monkeypatch.setattr("rmlab.metrics.intervals.CELLS", 333)
    assert interval(values, np.random.default_rng(1)) == pytest.approx(whole)


def test_intervals_cover_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        _, low, high = interval(rng.normal(1, 2, 60), rng, n=400)
        covered += low <= 1 <= high
    assert 0.91 < covered / 400 < 0.98


def test_nan_prompts_are_left_out():
    values = np.random.default_rng(0).normal(size=60)
    values[::3] = np.nan
    mean, low, high = interval(values, np.random.default_rng(1), n=4000)
    assert mean == pytest.approx(np.nanmean(values))
    _, low_defined, high_defined = interval(values[~np.isnan(values)], np.random.default_rng(2), n=4000)
    assert (low, high) == pytest.approx((low_defined, high_defined), abs=0.03)


def test_nothing_defined_gives_nan_without_a_warning(recwarn):
    assert np.isnan(interval(np.full(5, np.nan), np.random.default_rng(0))).all()
    assert not recwarn.list


def test_paired_differences_cancel_what_prompts_share():
    rng = np.random.default_rng(0)
    prompt = rng.normal(0, 10, 100)
    a, b = prompt + 0.5 + 0.1 * rng.normal(size=100), prompt + 0.1 * rng.normal(size=100)
    a[3], b[4] = np.nan, np.nan
    mean, low, high = interval(a - b, np.random.default_rng(1))
    assert mean == pytest.approx(np.nanmean(a - b))
    assert 0.4 < low < mean < high < 0.6


def test_curves_share_the_resamples_of_a_single_column():
    values = np.random.default_rng(0).normal(size=(40, 3))
    values[:5, 2] = np.nan
    mean, low, high = Resamples.draw(40, np.random.default_rng(3), 1000).intervals(values)
    for column in range(3):
        single = interval(values[:, column], np.random.default_rng(3))
        assert (mean[column], low[column], high[column]) == pytest.approx(single)


def test_the_seed_decides_the_interval():
    values = np.random.default_rng(0).normal(size=30)
    first, again, other = (interval(values, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again
    assert first[1:] != other[1:]


def test_impossible_bootstraps_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="no prompts"):
        interval(np.zeros(0), rng)
    with pytest.raises(InputError, match="use n >= 1"):
        interval(np.zeros(3), rng, n=0)
