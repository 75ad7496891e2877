from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pairing_pools import all_cross_pairs, make_pool

from rmlab.comparisons import Pool
from rmlab.errors import InputError
from rmlab.pairing.across_prompts import GlobalOrder

CHOICES = ["similar", "diverse"]


@settings(max_examples=150, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=2, max_size=7),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
    levels=st.sampled_from([2, 1000]),
    choice=st.sampled_from(CHOICES),
)
def test_pairs_are_distinct_and_across_prompts(sizes, share, seed, levels, choice):
    pool = make_pool(sizes, seed, levels)
    n = 1 + int(share * (len(all_cross_pairs(pool.group)) - 1))
    made = GlobalOrder(choice)(pool, n, np.random.default_rng(seed))
    assert made.items.shape == (n, 2)
    assert made.items.dtype == np.int64
    pairs = {(int(i), int(j)) for i, j in np.sort(made.items, axis=1)}
    assert len(pairs) == n
    assert pairs <= all_cross_pairs(pool.group)
    np.testing.assert_array_equal(made.group, pool.group[made.items[:, 0]])


@pytest.mark.parametrize("choice", CHOICES)
def test_the_whole_budget_takes_every_pair(choice):
    pool = make_pool([1, 5, 2, 3], 0)
    everything = all_cross_pairs(pool.group)
    made = GlobalOrder(choice)(pool, len(everything), np.random.default_rng(0))
    assert {(int(i), int(j)) for i, j in np.sort(made.items, axis=1)} == everything


@pytest.mark.parametrize("choice", CHOICES)
def test_seed_decides_the_pairs(choice):
    pool = make_pool([6] * 30, 1)
    first, again, other = (GlobalOrder(choice)(pool, 100, np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.items, again.items)
    assert (first.items != other.items).any()


def test_similar_takes_neighbours_in_the_global_order_first():
    golden = np.random.default_rng(3).permutation(8).astype(float)
    made = GlobalOrder("similar")(Pool(golden, np.arange(8)), 10, np.random.default_rng(0))
    assert np.abs(np.diff(golden[made.items], axis=1)).ravel().tolist() == [1] * 7 + [2] * 3


def test_diverse_matches_lowest_with_highest_then_shifts_by_one():
    golden = np.random.default_rng(4).permutation(6).astype(float)
    made = GlobalOrder("diverse")(Pool(golden, np.arange(6)), 8, np.random.default_rng(0))
    ranks = np.sort(golden[made.items], axis=1).astype(int).tolist()
    assert ranks == [[0, 5], [1, 4], [2, 3], [0, 4], [1, 3], [1, 5], [2, 4], [0, 3]]


@pytest.mark.parametrize(
    ("choice", "golden", "expected"),
    [
        ("similar", [0, 1, 2, 3], [(0, 1), (1, 2), (2, 3)]),
        ("diverse", [0, 0, 1, 1], [(0, 2), (0, 3), (1, 2), (1, 3)]),
    ],
)
def test_what_the_golden_order_leaves_open_is_drawn_at_random(choice, golden, expected):
    pool = Pool(np.array(golden, dtype=float), np.arange(4))
    rng = np.random.default_rng(1)
    seen = [tuple(np.sort(GlobalOrder(choice)(pool, 1, rng).items[0]).tolist()) for _ in range(1200)]
    assert set(seen) == set(expected)
    counts = [seen.count(pair) for pair in expected]
    assert max(counts) - min(counts) < 90


@pytest.mark.parametrize(
    ("group", "n", "message"),
    [
        (np.zeros(5, dtype=np.int64), 1, "one prompt only"),
        (np.zeros(0, dtype=np.int64), 1, "one prompt only"),
        (np.array([0, 0, 1, 1]), 5, "only 4 distinct"),
        (np.array([0, 0, 1, 1]), 0, "at least 1"),
    ],
)
@pytest.mark.parametrize("choice", CHOICES)
def test_budgets_that_cannot_be_met_are_refused(choice, group, n, message):
    with pytest.raises(InputError, match=message):
        GlobalOrder(choice)(Pool(np.arange(float(len(group))), group), n, np.random.default_rng(0))


@pytest.mark.parametrize(("golden", "message"), [([1, 1, 1], "all golden"), ([1, np.inf, 2], "not finite")])
@pytest.mark.parametrize("choice", CHOICES)
def test_golden_rewards_without_an_order_are_refused(choice, golden, message):
    with pytest.raises(InputError, match=message):
        GlobalOrder(choice)(Pool(np.array(golden, dtype=float), np.arange(3)), 1, np.random.default_rng(0))


def test_misspelt_choice_is_refused():
    with pytest.raises(ValueError, match="use similar or diverse"):
        GlobalOrder("random")


def test_capacity_is_the_largest_budget_that_can_be_met():
    pool = Pool(np.arange(5.0), np.array([0, 0, 1, 1, 2]))
    assert GlobalOrder().capacity(pool) == 10 - 1 - 1
    assert len(GlobalOrder()(pool, 8, np.random.default_rng(0))) == 8
