from __future__ import annotations

import numpy as np
import pytest

from rmlab.comparisons import Comparisons, Pool
from rmlab.errors import ConfigError
from rmlab.noise.flips import LargestMarginFlips


def pairs(n: int, levels: int = 10**6) -> tuple[Comparisons, Pool]:
    rng = np.random.default_rng(0)
    pool = Pool(rng.integers(0, levels, 2 * n).astype(float), np.arange(2 * n) % 31)
    items = rng.permutation(2 * n).reshape(n, 2)
    return Comparisons(items=items, group=pool.group[items[:, 0]]), pool


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.25, 1.0])
def test_just_the_largest_gaps_are_flipped(rate):
    comparisons, pool = pairs(400)
    answered = LargestMarginFlips(rate)(comparisons, pool, np.random.default_rng(0))
    assert (~answered.correct).sum() == rate * 400
    if 0 < rate < 1:
        assert answered.margin[~answered.correct].min() >= answered.margin[answered.correct].max()
    won, lost = answered.golden.T
    np.testing.assert_array_equal(answered.correct, won > lost)
    np.testing.assert_array_equal(answered.golden, pool.golden[answered.items])
    np.testing.assert_array_equal(np.sort(answered.items, axis=1), np.sort(comparisons.items, axis=1))
    assert (answered.label_prob == 1).all()


def test_the_share_is_of_the_pairs_without_a_tie():
    comparisons, pool = pairs(500, levels=3)
    untied = int((np.diff(pool.golden[comparisons.items], axis=1) != 0).sum())
    answered = LargestMarginFlips(0.1)(comparisons, pool, np.random.default_rng(0))
    assert len(answered) == untied < 500
    assert (~answered.correct).sum() == round(0.1 * untied)


def test_equal_gaps_at_the_edge_are_flipped_at_random():
    pool = Pool(np.array([0.0, 1.0] * 4), np.arange(8))
    comparisons = Comparisons(np.arange(8).reshape(4, 2), np.arange(4), annotator=np.arange(4))
    rng = np.random.default_rng(0)
    flipped = np.zeros(4)
    for _ in range(2000):
        answered = LargestMarginFlips(0.25)(comparisons, pool, rng)
        flipped[answered.annotator[~answered.correct]] += 1
    assert flipped.sum() == 2000
    assert np.abs(flipped - 500).max() < 90


def test_lists_and_bad_rates_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ConfigError, match="answer pairs"):
        LargestMarginFlips(0.1)(
            Comparisons(np.arange(3)[None], np.zeros(1)), Pool(np.arange(3.0), np.zeros(3)), rng
        )
    for rate in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match="use a share"):
            LargestMarginFlips(rate)


def test_settled_it_is_wrong_from_the_same_gap_on():
    comparisons, pool = pairs(400)
    gap = np.abs(np.diff(pool.golden[comparisons.items], axis=1)[:, 0])
    order = np.argsort(gap)
    narrow, wide = comparisons.take(order[:300]), comparisons.take(order[300:])
    settled = LargestMarginFlips(0.1).settled(narrow, pool)
    assert settled.from_gap == gap[order[270]]
    assert not settled(wide, pool, np.random.default_rng(0)).correct.any()  # all gaps are larger
    same, plain = (f(narrow, pool, np.random.default_rng(1)) for f in (settled, LargestMarginFlips(0.1)))
    np.testing.assert_array_equal(same.correct, plain.correct)
    assert LargestMarginFlips(0.0).settled(narrow, pool).from_gap is None
