from __future__ import annotations

import numpy as np
import pytest

from rmlab.comparisons import Comparisons, Pool
from rmlab.errors import ConfigError, InputError
from rmlab.noise.flips import RandomFlips


def make_case(n: int, levels: int = 10**6) -> tuple[Comparisons, Pool]:
    rng = np.random.default_rng(0)
    pool = Pool(rng.integers(0, levels, 2 * n).astype(float), np.arange(2 * n) % 31)
    items = rng.permutation(2 * n).reshape(n, 2)
    return Comparisons(items=items, group=pool.group[items[:, 0]]), pool


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_flips_come_at_the_rate_whatever_the_gap(rate):
    comparisons, pool = make_case(8000)
    answered = RandomFlips(rate)(comparisons, pool, np.random.default_rng(1))
    se = np.sqrt(rate * (1 - rate) / 4000)
    large = answered.margin > np.median(answered.margin)
    for rows in (large, ~large):
        assert abs((~answered.correct[rows]).mean() - rate) <= 4 * se


def test_columns_agree_with_the_golden_order():
    comparisons, pool = make_case(500)
    answered = RandomFlips(0.3)(comparisons, pool, np.random.default_rng(1))
    won, lost = pool.golden[answered.items].T
    np.testing.assert_array_equal(np.sort(answered.items, axis=1), np.sort(comparisons.items, axis=1))
    np.testing.assert_array_equal(answered.correct, won > lost)
    np.testing.assert_array_equal(answered.label_prob, np.where(won > lost, 0.7, 0.3))
    np.testing.assert_array_equal(answered.margin, np.abs(won - lost))
    np.testing.assert_array_equal(answered.golden, pool.golden[answered.items])
    np.testing.assert_array_equal(answered.group, pool.group[answered.items[:, 0]])


def test_ties_are_dropped():
    comparisons, pool = make_case(500, levels=3)
    gap = np.diff(pool.golden[comparisons.items], axis=1).ravel()
    answered = RandomFlips(0.3)(comparisons, pool, np.random.default_rng(1))
    assert len(answered) == (gap != 0).sum() < 500
    assert not answered.tie.any()


def test_flips_are_repeatable():
    comparisons, pool = make_case(200)
    first, again, other = (RandomFlips(0.3)(comparisons, pool, np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.items, again.items)
    assert (first.items != other.items).any()


def test_bad_inputs_are_refused():
    comparisons, pool = make_case(10)
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="equal golden rewards"):
        RandomFlips(0.1)(comparisons, Pool(np.ones(20), pool.group), rng)
    with pytest.raises(InputError, match="not finite"):
        RandomFlips(0.1)(comparisons, Pool(np.full(20, np.nan), pool.group), rng)
    with pytest.raises(ConfigError, match="answer pairs"):
        RandomFlips(0.1)(Comparisons(np.arange(3)[None], np.zeros(1)), pool, rng)


@pytest.mark.parametrize("rate", [-0.1, 1.1, np.nan])
def test_a_rate_that_is_no_share_is_refused(rate):
    with pytest.raises(ValueError, match="use a share"):
        RandomFlips(rate)
