from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pairing_pools import all_cross_pairs, make_pool

from rmlab.comparisons import Pool
from rmlab.errors import InputError
from rmlab.pairing.across_prompts import CrossPrompt
from rmlab.pairing.within_prompt import SamePrompt

CHOICES = ["random", "similar", "diverse"]


@settings(max_examples=150, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=2, max_size=7),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
    levels=st.sampled_from([2, 1000]),
    choice=st.sampled_from(CHOICES),
)
def test_pairs_are_distinct_and_across_prompts(sizes, share, seed, levels, choice):
    pool, pairing = make_pool(sizes, seed, levels), CrossPrompt(choice)
    assume(pairing.capacity(pool) > 0)
    n = 1 + int(share * (pairing.capacity(pool) - 1))
    made = pairing(pool, n, np.random.default_rng(seed))
    assert made.items.shape == (n, 2)
    assert made.items.dtype == np.int64
    pairs = {(int(i), int(j)) for i, j in np.sort(made.items, axis=1)}
    assert len(pairs) == n
    assert pairs <= all_cross_pairs(pool.group)
    np.testing.assert_array_equal(made.group, pool.group[made.items[:, 0]])


def test_the_whole_random_budget_takes_every_pair():
    pool = make_pool([1, 5, 2, 3], 0)
    everything = all_cross_pairs(pool.group)
    made = CrossPrompt()(pool, len(everything), np.random.default_rng(0))
    assert {(int(i), int(j)) for i, j in np.sort(made.items, axis=1)} == everything


@pytest.mark.parametrize("choice", CHOICES)
def test_seed_decides_the_pairs(choice):
    pool = make_pool([6] * 30, 1)
    first, again, other = (CrossPrompt(choice)(pool, 100, np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.items, again.items)
    assert (first.items != other.items).any()


def test_random_draws_pairs_and_sides_uniformly():
    pool = Pool(golden=np.arange(5.0), group=np.array([0, 1, 1, 2, 1]))
    rng = np.random.default_rng(0)
    count = np.zeros((5, 5))
    for _ in range(3500):
        for first, second in CrossPrompt("random")(pool, 2, rng).items:
            count[first, second] += 1
    ordered = count[pool.group[:, None] != pool.group]  # 14 ordered pairs, each expected 500 times
    assert len(ordered) == 14
    assert np.abs(ordered - 500).max() < 90


def test_first_rows_of_a_random_draw_are_any_pairs():
    pool = make_pool([10] * 300, 0)
    items = CrossPrompt()(pool, 2000, np.random.default_rng(0)).items
    prompts = pool.group[items[:200]].ravel()
    assert abs(np.mean(prompts) - pool.group.mean()) < 4 * pool.group.std() / np.sqrt(400)


def test_misspelt_choice_is_refused():
    with pytest.raises(ValueError, match="use random, similar or diverse"):
        CrossPrompt("close")


def test_capacity_is_the_largest_budget_that_can_be_met():
    pool = Pool(np.arange(5.0), np.array([0, 0, 1, 1, 2]))
    assert CrossPrompt().capacity(pool) == 10 - 1 - 1
    assert len(CrossPrompt()(pool, 8, np.random.default_rng(0))) == 8


@pytest.mark.parametrize(
    ("sizes", "most"),
    [
        ([2, 2], 2),  # a pair of each
        ([2, 1, 1], 0),  # all pairs are of one prompt
        ([3, 3], 4),  # 6 of each were re-paired, but of the 9 there are at most half are taken
        ([5, 2, 2], 4),  # 1 + 1 of the small ones, and as many of the large one
        ([2] * 9, 9),
    ],
)
def test_capacity_of_chosen_responses(sizes, most):
    pool = make_pool(sizes, 0)
    assert CrossPrompt("similar").capacity(pool) == most
    if most:
        assert len(CrossPrompt("similar")(pool, most, np.random.default_rng(0))) == most


@pytest.mark.parametrize(("choice", "n"), [("similar", 100), ("diverse", 100), ("similar", 250)])
def test_the_responses_are_those_that_same_prompt_chooses(choice, n):
    """Without ties and at n a multiple of the prompts, the chosen responses do not depend on the draw."""
    group = np.repeat(np.arange(50), 6)
    golden = np.random.default_rng(0).normal(size=300)
    golden = np.round(golden, 3) + 1e-6 * np.arange(300)
    pool, rounds = Pool(golden, group), n // 50
    ranks = np.argsort(np.argsort(golden.reshape(50, 6), axis=1), axis=1).ravel()

    def how_often(items: np.ndarray) -> np.ndarray:
        return np.bincount(items.ravel(), minlength=300)

    made = CrossPrompt(choice)(pool, n, np.random.default_rng(1)).items
    within = SamePrompt(choice)(pool, n, np.random.default_rng(2)).items
    assert how_often(made).reshape(50, 6).sum(axis=1).tolist() == [2 * rounds] * 50
    if choice == "diverse":
        np.testing.assert_array_equal(how_often(made), how_often(within))
    if n == 250:  # all five pairs of neighbours of each prompt
        np.testing.assert_array_equal(how_often(made), np.where((ranks == 0) | (ranks == 5), 1, 2))


def test_partners_are_drawn_from_all_other_prompts():
    """A pair a prompt: each prompt meets every other one equally often."""
    pool = Pool(np.arange(12.0), np.repeat(np.arange(6), 2))
    met = np.zeros((6, 6))
    rng = np.random.default_rng(0)
    for _ in range(1500):
        for i, j in pool.group[CrossPrompt("diverse")(pool, 6, rng).items]:
            met[i, j] += 1
    assert np.diag(met).sum() == 0
    each = met[~np.eye(6, dtype=bool)]  # 30 ordered pairs of prompts, 300 times each
    assert np.abs(each - 300).max() < 5 * np.sqrt(300)


def test_similar_pairs_differ_as_two_prompts_do():
    """Alike within a prompt, but as far apart across prompts as prompts are: no neighbours of all responses."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(300), 8)
    pool = Pool(3 * rng.normal(size=300)[group] + rng.normal(size=2400), group)

    def gap(pairing) -> float:
        items = pairing(pool, 300, np.random.default_rng(0)).items
        return float(np.abs(np.diff(pool.golden[items], axis=1)).mean())

    prompts_apart = 3 * 2 / np.sqrt(np.pi)  # E|a - b| of two normals of deviation 3
    assert gap(SamePrompt("similar")) < 0.5
    assert gap(CrossPrompt("similar")) == pytest.approx(prompts_apart, rel=0.15)


@pytest.mark.parametrize(
    ("group", "choice", "n", "message"),
    [
        (np.zeros(5, dtype=np.int64), "random", 1, "one prompt only"),
        (np.zeros(5, dtype=np.int64), "diverse", 1, "one prompt only"),
        (np.zeros(0, dtype=np.int64), "similar", 1, "one prompt only"),
        (np.array([0, 0, 1, 1]), "random", 5, "only 4 distinct"),
        (np.array([0, 0, 1, 1]), "similar", 3, "only 2 distinct"),
        (np.array([0, 0, 1, 1]), "diverse", 0, "at least 1"),
        (
            np.array([0, 0, 1, 2]),
            "similar",
            1,
            "similar cross-prompt pairs need two prompts with two responses",
        ),
        (np.arange(4), "diverse", 1, "need two prompts with two responses"),
    ],
)
def test_budgets_that_cannot_be_met_are_refused(group, choice, n, message):
    with pytest.raises(InputError, match=message):
        CrossPrompt(choice)(Pool(np.arange(float(len(group))), group), n, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("golden", "message"), [([1, 1, 1, 1], "all golden"), ([1, np.inf, 2, 3], "not finite")]
)
@pytest.mark.parametrize("choice", ["similar", "diverse"])
def test_golden_rewards_without_an_order_are_refused(choice, golden, message):
    with pytest.raises(InputError, match=message):
        pool = Pool(np.array(golden, dtype=float), np.array([0, 0, 1, 1]))
        CrossPrompt(choice)(pool, 1, np.random.default_rng(0))
