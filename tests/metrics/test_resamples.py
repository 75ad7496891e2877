from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from rmlab.errors import InputError
from rmlab.metrics.intervals import Resamples, interval


def by_loop(counts, column, tail=0.025):
    """The mean and both ends, one resample at a time, as the module's docstring has them."""
    means = []
    for row in counts:
        drawn = np.repeat(column, row)
        if not np.isnan(drawn).all():
            means.append(np.nanmean(drawn))
    x = column[~np.isnan(column)]
    if len(x) < 2:
        return x[0], np.nan, np.nan
    se, t = x.std(ddof=1) / len(x) ** 0.5, stats.t.isf(tail, len(x) - 1)
    shift = se * stats.skew(x, bias=False) / 6 * (1 + 2 * t**2) / len(x) ** 0.5
    stretch = t / stats.norm.isf(tail) * se / np.std(means)
    low, high = (np.quantile(means, [tail, 1 - tail]) - x.mean()) * stretch
    return x.mean(), x.mean() + min(low, shift - t * se), x.mean() + max(high, shift + t * se)


@pytest.mark.parametrize("cells", [1, 100, 2**22])
def test_it_equals_one_resample_at_a_time(cells, monkeypatch):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(12, 4))
    values[:4, 1], values[1:, 2] = np.nan, np.nan  # the third is defined on one prompt alone
    whole = Resamples.draw(12, np.random.default_rng(1), 150)
    monkeypatch.setattr("rmlab.metrics.intervals.CELLS", cells)
    resamples = Resamples.draw(12, np.random.default_rng(1), 150)
    np.testing.assert_array_equal(resamples.counts, whole.counts)
    found = np.stack(resamples.intervals(values))
    for column in range(4):
        np.testing.assert_allclose(found[:, column], by_loop(whole.counts, values[:, column]))


def test_resamples_that_are_too_many_to_keep_are_drawn_again_alike(monkeypatch):
    values = np.random.default_rng(0).normal(size=(40, 3))
    values[5, 1] = np.nan
    rng = np.random.default_rng(1)
    kept = Resamples.draw(40, rng, 300)
    monkeypatch.setattr("rmlab.metrics.intervals.KEPT", 0)
    monkeypatch.setattr("rmlab.metrics.intervals.CELLS", 1000)
    again = Resamples.draw(40, rng, 300)
    assert kept.kept is not None and again.kept is None
    rng.random()  # what becomes of the generator changes nothing
    np.testing.assert_array_equal(again.counts, kept.counts)
    for _ in range(2):
        for found, expected in zip(again.intervals(values), kept.intervals(values), strict=True):
            np.testing.assert_array_equal(found, expected)
    both = again.intervals_of([values[:, :1], values])
    np.testing.assert_allclose(both[0], np.stack(kept.intervals(values[:, :1])))
    np.testing.assert_array_equal(both[1], np.stack(kept.intervals(values)))


@pytest.mark.parametrize("n_prompts", [1, 3, 255, 256, 300])
def test_every_resample_draws_as_many_prompts_as_there_are(n_prompts):
    counts = Resamples.draw(n_prompts, np.random.default_rng(0), 20).counts
    assert (counts.sum(axis=1, dtype=np.int64) == n_prompts).all()
    assert np.iinfo(counts.dtype).max >= n_prompts


def test_columns_are_paired():
    a, shared = np.random.default_rng(0).normal(size=(2, 50))
    resamples = Resamples.draw(50, np.random.default_rng(1), 500)
    _, low, high = resamples.intervals(np.column_stack([a, a + 1e6, a + 100 * shared, 100 * shared]))
    np.testing.assert_allclose([low[1] - 1e6, high[1] - 1e6], [low[0], high[0]], atol=1e-8)
    alone = interval(a, np.random.default_rng(1), 500)
    np.testing.assert_allclose([low[0], high[0]], alone[1:])


def test_no_column_and_no_number_give_nothing_and_nan(recwarn):
    resamples = Resamples.draw(5, np.random.default_rng(0), 10)
    assert [len(x) for x in resamples.intervals(np.empty((5, 0)))] == [0, 0, 0]
    assert np.isnan(np.stack(resamples.intervals(np.full((5, 2), np.nan)))).all()
    assert not recwarn.list


def test_other_prompts_are_refused():
    with pytest.raises(InputError, match="4 values for 5 prompts"):
        Resamples.draw(5, np.random.default_rng(0), 10).intervals(np.zeros((4, 1)))


def test_equal_values_have_no_width_and_one_value_no_interval():
    values = np.column_stack([np.full(6, 0.1), [2, np.nan, 2, 2, 2, 2], [np.nan] * 5 + [3.0]])
    mean, low, high = Resamples.draw(6, np.random.default_rng(0), 50).intervals(values)
    np.testing.assert_allclose(mean, [0.1, 2, 3])
    np.testing.assert_array_equal(low[:2], mean[:2])
    np.testing.assert_array_equal(high[:2], mean[:2])
    assert np.isnan([low[2], high[2]]).all()
    assert np.isnan(np.stack(Resamples.draw(1, np.random.default_rng(0), 50).intervals(values[:1]))[1:]).all()


@pytest.mark.parametrize("unit", [1e-150, 1e150])
def test_intervals_are_in_the_unit_of_the_values(unit):
    values = np.random.default_rng(0).exponential(size=(12, 1))
    resamples = Resamples.draw(12, np.random.default_rng(1), 100)
    expected = np.stack(resamples.intervals(values)) * unit
    np.testing.assert_allclose(np.stack(resamples.intervals(values * unit)), expected)
