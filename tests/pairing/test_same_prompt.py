from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmlab.comparisons import Pool
from rmlab.errors import InputError
from rmlab.pairing.within_prompt import SamePrompt

CHOICES = ["random", "similar", "diverse"]


def ragged_pool(sizes: list[int], seed: int, levels: int = 1000) -> Pool:
    rng = np.random.default_rng(seed)
    group = rng.permutation(np.repeat(np.arange(len(sizes)) * 7 - 3, sizes))
    golden = rng.integers(0, levels, len(group)).astype(float)
    golden[0] += 0.5  # never all equal
    return Pool(golden=golden, group=group)


def distinct_pairs(items: np.ndarray) -> int:
    return len(np.unique(np.sort(items, axis=1), axis=0))


@settings(max_examples=150, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=8).filter(lambda sizes: max(sizes) > 1),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
    levels=st.sampled_from([2, 1000]),
    choice=st.sampled_from(CHOICES),
)
def test_pairs_are_distinct_within_prompts_and_spread_evenly(sizes, share, seed, levels, choice):
    pool = ragged_pool(sizes, seed, levels)
    capacity = np.array(sizes) * (np.array(sizes) - 1) // 2
    n = 1 + int(share * (capacity.sum() - 1))
    made = SamePrompt(choice)(pool, n, np.random.default_rng(seed))
    assert made.items.shape == (n, 2)
    assert made.items.dtype == np.int64
    assert distinct_pairs(made.items) == n
    assert (made.items[:, 0] != made.items[:, 1]).all()
    assert (pool.group[made.items] == made.group[:, None]).all()
    for rows in (n, (n + 1) // 2):  # the first half is spread as evenly as the whole
        count = (made.group[:rows, None] == np.arange(len(sizes)) * 7 - 3).sum(axis=0)
        assert (count <= capacity).all()
        assert (count[count < capacity] >= count.max() - 1).all()


@pytest.mark.parametrize("choice", CHOICES)
def test_same_seed_gives_the_same_pairs_and_another_seed_others(choice):
    pool = ragged_pool([6] * 30, 1)
    first, again, other = (SamePrompt(choice)(pool, 100, np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.items, again.items)
    assert (first.items != other.items).any()


def test_random_takes_each_pair_and_each_side_equally_often():
    pool = Pool(golden=np.arange(4.0), group=np.zeros(4, dtype=np.int64))
    rng = np.random.default_rng(0)
    count = np.zeros((4, 4))
    for _ in range(3000):
        for first, second in SamePrompt("random")(pool, 2, rng).items:
            count[first, second] += 1
    ordered = count[~np.eye(4, dtype=bool)]  # 12 ordered pairs, each expected 500 times, sd about 21
    assert np.abs(ordered - 500).max() < 90


@pytest.mark.parametrize(("size", "q"), [(4, 2), (5, 2), (4, 4)])  # even and odd circles, few and many
def test_each_set_of_pairs_of_a_prompt_is_equally_likely(size, q):
    prompts, ways = 6000, math.comb(size * (size - 1) // 2, q)
    pool = Pool(np.zeros(prompts * size), np.repeat(np.arange(prompts), size))
    items = np.sort(SamePrompt()(pool, q * prompts, np.random.default_rng(0)).items, axis=1)
    code = np.sort(
        (items % size @ [size, 1])[np.argsort(items[:, 0] // size, kind="stable")].reshape(-1, q), axis=1
    )
    count = np.unique(code, axis=0, return_counts=True)[1]
    assert len(count) == ways
    assert np.abs(count - prompts / ways).max() < 5 * np.sqrt(prompts / ways)


def test_a_prompt_too_large_for_a_table_of_its_pairs():
    pool = Pool(np.zeros(200_000), np.zeros(200_000, dtype=np.int64))
    made = SamePrompt()(pool, 5000, np.random.default_rng(0))
    assert distinct_pairs(made.items) == 5000
    assert abs(np.mean(made.items) / 100_000 - 1) < 0.03


def test_random_ignores_the_golden_reward():
    group = np.repeat(np.arange(10), 4)
    flat = SamePrompt("random")(Pool(np.zeros(40), group), 30, np.random.default_rng(0))
    assert distinct_pairs(flat.items) == 30


def test_similar_takes_adjacent_ranks_before_ranks_two_apart():
    golden = np.random.default_rng(3).permutation(6).astype(float)
    made = SamePrompt("similar")(Pool(golden, np.zeros(6, dtype=np.int64)), 8, np.random.default_rng(0))
    assert np.abs(np.diff(golden[made.items], axis=1)).ravel().tolist() == [1] * 5 + [2] * 3


def test_diverse_takes_the_largest_golden_gaps():
    golden = np.random.default_rng(4).normal(size=9)
    made = SamePrompt("diverse")(Pool(golden, np.zeros(9, dtype=np.int64)), 12, np.random.default_rng(0))
    low, high = np.triu_indices(9, 1)
    largest = np.sort(np.abs(golden[low] - golden[high]))[::-1][:12]
    np.testing.assert_allclose(np.abs(np.diff(golden[made.items], axis=1)).ravel(), largest)


@pytest.mark.parametrize("choice", ["similar", "diverse"])
def test_equal_gaps_are_taken_in_random_order(choice):
    golden = np.array([0.0, 0.0, 1.0, 1.0]) if choice == "diverse" else np.arange(4.0)
    rng = np.random.default_rng(1)
    pool = Pool(golden, np.zeros(4, dtype=np.int64))
    seen = [tuple(sorted(SamePrompt(choice)(pool, 1, rng).items[0])) for _ in range(1200)]
    expected = [(0, 2), (0, 3), (1, 2), (1, 3)] if choice == "diverse" else [(0, 1), (1, 2), (2, 3)]
    assert set(seen) == set(expected)
    counts = [seen.count(pair) for pair in expected]
    assert max(counts) - min(counts) < 90


def test_two_of_four_equal_gaps_are_any_two():
    pool = Pool(np.array([0.0, 0.0, 1.0, 1.0]), np.zeros(4, dtype=np.int64))
    rng = np.random.default_rng(2)
    disjoint = [len(np.unique(SamePrompt("diverse")(pool, 2, rng).items)) == 4 for _ in range(900)]
    assert np.mean(disjoint) == pytest.approx(1 / 3, abs=0.06)  # 2 of the 6 ways to take two


@pytest.mark.parametrize("choice", CHOICES)
def test_a_budget_below_one_pair_a_prompt_favours_no_prompt(choice):
    pool = ragged_pool([3] * 6, 0)
    rng = np.random.default_rng(3)
    prompts = np.concatenate([SamePrompt(choice)(pool, 2, rng).group for _ in range(900)])
    count = np.unique(prompts, return_counts=True)[1]  # 6 prompts, each expected 300 times, sd about 14
    assert np.abs(count - 300).max() < 60


def test_blocks_do_not_change_the_counts(monkeypatch):
    pool = ragged_pool([5] * 20, 2)
    monkeypatch.setattr("rmlab.pairing.draws.CELLS", 1)
    made = SamePrompt("diverse")(pool, 60, np.random.default_rng(0))
    assert distinct_pairs(made.items) == 60
    assert (np.unique(made.group, return_counts=True)[1] == 3).all()


@pytest.mark.parametrize(
    ("group", "n", "message"),
    [
        (np.arange(5), 3, "one response"),
        (np.array([0, 0, 1, 1, 1]), 5, "only 4 distinct"),
        (np.zeros(5, dtype=np.int64), 0, "at least 1"),
        (np.zeros(0, dtype=np.int64), 1, "one response"),
    ],
)
def test_impossible_budgets_are_refused(group, n, message):
    with pytest.raises(InputError, match=message):
        SamePrompt()(Pool(np.arange(float(len(group))), group), n, np.random.default_rng(0))


@pytest.mark.parametrize(("golden", "message"), [([1, 1, 1], "all golden"), ([1, np.nan, 2], "not finite")])
@pytest.mark.parametrize("choice", ["similar", "diverse"])
def test_unusable_golden_rewards_are_refused(choice, golden, message):
    pool = Pool(np.array(golden, dtype=float), np.zeros(3, dtype=np.int64))
    with pytest.raises(InputError, match=message):
        SamePrompt(choice)(pool, 1, np.random.default_rng(0))


def test_unknown_choice_is_refused():
    with pytest.raises(ValueError, match="use random, similar or diverse"):
        SamePrompt("close")


def test_capacity_is_the_largest_budget_that_can_be_met():
    pool = Pool(np.arange(9.0), np.array([0, 0, 0, 1, 1, 1, 1, 2, 2]))
    assert SamePrompt().capacity(pool) == 3 + 6 + 1
    assert len(SamePrompt()(pool, 10, np.random.default_rng(0))) == 10
