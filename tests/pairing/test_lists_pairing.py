from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmlab.comparisons import Pool
from rmlab.errors import InputError
from rmlab.pairing.within_prompt import MOST, Lists


def list_pool(sizes: list[int], seed: int, levels: int = 1000) -> Pool:
    rng = np.random.default_rng(seed)
    group = rng.permutation(np.repeat(np.arange(len(sizes)) * 7 - 3, sizes))
    golden = rng.integers(0, levels, len(group)).astype(float)
    golden[0] += 0.5  # never all equal
    return Pool(golden=golden, group=group)


def as_sets(items: np.ndarray) -> set[tuple[int, ...]]:
    return set(map(tuple, np.sort(items, axis=1).tolist()))


@settings(max_examples=100, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=6),
    k=st.integers(2, 4),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
    choice=st.sampled_from(["random", "diverse"]),
)
def test_lists_are_distinct_within_prompts_and_spread_evenly(sizes, k, share, seed, choice):
    sizes[0] = max(sizes[0], k)
    pool, pairing = list_pool(sizes, seed, 5), Lists(k, choice=choice)
    runs = [[size // k + (i < size % k) for i in range(k)] for size in sizes]
    capacity = np.array(
        [math.comb(s, k) if choice == "random" else math.prod(r) for s, r in zip(sizes, runs)]
    )
    assert pairing.capacity(pool) == capacity.sum()
    n = 1 + int(share * (capacity.sum() - 1))
    made = pairing(pool, n, np.random.default_rng(seed))
    assert made.kind == "list"
    assert made.items.shape == (n, k) and made.items.dtype == np.int64
    assert len(as_sets(made.items)) == n
    assert all(len(set(row)) == k for row in made.items.tolist())
    assert (pool.group[made.items] == made.group[:, None]).all()
    for rows in (n, (n + 1) // 2):
        count = (made.group[:rows, None] == np.arange(len(sizes)) * 7 - 3).sum(axis=0)
        assert (count <= capacity).all()
        assert (count[count < capacity] >= count.max() - 1).all()


def many_prompts(golden: list[float], prompts: int) -> Pool:
    return Pool(np.tile(golden, prompts), np.repeat(np.arange(prompts), len(golden)))


@pytest.mark.parametrize("q", [1, 4, 7])  # drawn with rejection, and from the table of all
def test_random_takes_each_list_and_each_place_equally_often(q):
    prompts = 2400
    items = Lists(3)(many_prompts(list(range(5)), prompts), q * prompts, np.random.default_rng(0)).items % 5
    every, count = np.unique(np.sort(items, axis=1), axis=0, return_counts=True)
    assert len(every) == 10
    assert np.abs(count - prompts * q / 10).max() < 5 * np.sqrt(prompts * q / 10)
    for place in range(3):
        at = np.bincount(items[:, place], minlength=5)
        assert np.abs(at - prompts * q / 5).max() < 5 * np.sqrt(prompts * q / 5)


@pytest.mark.parametrize(("k", "size"), [(5, 6), (2, 4)])
def test_each_two_lists_of_a_prompt_are_drawn_equally_often(k, size):
    prompts, ways = 3000, math.comb(math.comb(size, k), 2)
    items = Lists(k)(many_prompts(list(range(size)), prompts), 2 * prompts, np.random.default_rng(1)).items
    by_prompt: dict[int, list[tuple[int, ...]]] = {}
    for row in np.sort(items, axis=1):
        by_prompt.setdefault(row[0] // size, []).append(tuple((row % size).tolist()))
    seen = [frozenset(two) for two in by_prompt.values()]
    count = np.array([seen.count(two) for two in set(seen)])
    assert len(count) == ways
    assert np.abs(count - prompts / ways).max() < 5 * np.sqrt(prompts / ways)


def test_diverse_takes_one_of_each_run_of_the_golden_order():
    golden = np.random.default_rng(3).permutation(11).astype(float)
    pool = Pool(golden, np.zeros(11, dtype=np.int64))
    for n in (5, 48):  # runs of 4, 4 and 3
        ranks = np.sort(golden[Lists(3, choice="diverse")(pool, n, np.random.default_rng(0)).items], axis=1)
        assert (np.digitize(ranks, [4, 8]) == [0, 1, 2]).all()
        assert len(np.unique(ranks, axis=0)) == n


def test_equal_golden_rewards_fall_in_any_run():
    pool = many_prompts([0, 1, 1, 2], 2400)
    items = np.sort(
        Lists(2, choice="diverse")(pool, 2400, np.random.default_rng(0)).items % 4, axis=1
    ).tolist()
    expected = {(0, 1): 1 / 8, (0, 2): 1 / 8, (0, 3): 1 / 4, (1, 2): 1 / 4, (1, 3): 1 / 8, (2, 3): 1 / 8}
    for pair, p in expected.items():
        assert abs(items.count(list(pair)) / 2400 - p) < 4.5 * np.sqrt(p * (1 - p) / 2400)


def test_choices_are_the_same_lists_of_another_kind():
    pool = list_pool([6] * 5, 0)
    ranking, choice = (
        Lists(4, answer)(pool, 20, np.random.default_rng(0)) for answer in ("ranking", "choice")
    )
    assert (ranking.kind, choice.kind) == ("list", "choice")
    np.testing.assert_array_equal(ranking.items, choice.items)


def test_small_prompts_are_left_out():
    pool = list_pool([2, 5, 3, 4], 0)
    made = Lists(4)(pool, 6, np.random.default_rng(0))
    assert set(made.group.tolist()) == {4, 18}


def test_prompts_with_more_lists_than_can_be_counted():
    pool = Pool(np.arange(400.0), np.repeat(np.arange(2), 200))
    assert Lists(20).capacity(pool) == 2 * MOST
    made = Lists(20)(pool, 50, np.random.default_rng(0))
    assert len(as_sets(made.items)) == 50
    assert all(len(set(row)) == 20 for row in made.items.tolist())


def test_same_seed_gives_the_same_lists_and_another_seed_others():
    pool = list_pool([6] * 30, 1)
    first, again, other = (Lists(3)(pool, 100, np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.items, again.items)
    assert (first.items != other.items).any()


@pytest.mark.parametrize(
    ("sizes", "n", "message"),
    [
        ([3, 2], 1, "lists of 4 need prompts with 4 responses, but no prompt has more than 3"),
        ([], 1, "no prompt has more than 0"),
        ([4, 4], 3, "only 2 distinct random lists of 4"),
        ([4], 0, "at least 1"),
    ],
)
def test_budgets_without_lists_are_refused(sizes, n, message):
    pool = Pool(np.arange(float(sum(sizes))), np.repeat(np.arange(len(sizes)), sizes))
    with pytest.raises(InputError, match=message) as error:
        Lists(4)(pool, n, np.random.default_rng(0))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("golden", "message"), [([1, 1, 1], "all golden"), ([1, np.nan, 2], "not finite")])
def test_diverse_lists_need_golden_rewards(golden, message):
    pool = Pool(np.array(golden, dtype=float), np.zeros(3, dtype=np.int64))
    with pytest.raises(InputError, match=message):
        Lists(2, choice="diverse")(pool, 1, np.random.default_rng(0))
    assert len(Lists(2)(pool, 3, np.random.default_rng(0))) == 3


@pytest.mark.parametrize("wrong", [{"k": 1}, {"answer": "best"}, {"choice": "similar"}])
def test_wrong_list_parameters_are_refused(wrong):
    with pytest.raises(ValueError, match=r"is .*: use"):
        Lists(**wrong)
