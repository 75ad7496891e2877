from __future__ import annotations

import itertools

import numpy as np
import pytest

from rmlab.comparisons import Pool
from rmlab.errors import InputError
from rmlab.pairing.response_sets import FEWEST, ResponseSets

CHOICES = ["random", "similar", "diverse"]
DESIGNS = [(choice, across) for choice in CHOICES for across in (False, True)]


def some_pool(sizes: list[int], seed: int, levels: int | None = None) -> Pool:
    """levels: few of them make many ties."""
    rng = np.random.default_rng(seed)
    group = rng.permutation(np.repeat(np.arange(len(sizes)) * 3 - 4, sizes))
    golden = (
        rng.normal(size=len(group)) if levels is None else rng.integers(0, levels, len(group)).astype(float)
    )
    return Pool(golden, group)


def ranks_in_prompt(pool: Pool) -> np.ndarray:
    """[m] place in the golden order of the prompt, from 0: responses of the prompt that are worth less."""
    less = (pool.group[:, None] == pool.group) & (pool.golden[:, None] > pool.golden)
    return less.sum(axis=1)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("choice", "across"), DESIGNS)
def test_one_pair_a_prompt_of_the_ranks_that_the_choice_names(choice, across, seed):
    sizes = [10, 2, 3, 7, 1, 4, 5, 10, 1, 6]
    pool = some_pool(sizes, seed)
    made = ResponseSets(choice, across)(pool, 8, np.random.default_rng(seed))
    assert made.items.shape == (8, 2) and made.items.dtype == np.int64
    assert len(np.unique(made.items)) == 16  # each response of each set in one pair
    by_prompt = {
        g: np.sort(ranks_in_prompt(pool)[made.items[pool.group[made.items] == g]]) for g in pool.group
    }
    for place, size in enumerate(sizes):
        found = by_prompt[place * 3 - 4].tolist()
        if size == 1:
            assert found == []
        elif choice == "similar":
            assert found == [size // 2 - 1, size // 2]
        elif choice == "diverse":
            assert found == [0, size - 1]
        else:
            assert len(set(found)) == 2
    same = pool.group[made.items[:, 0]] == pool.group[made.items[:, 1]]
    assert (~same).all() if across else same.all()
    np.testing.assert_array_equal(made.group, pool.group[made.items[:, 0]])


def test_random_sets_are_any_two_of_a_prompt():
    pool = Pool(np.tile(np.arange(4.0), 6000), np.repeat(np.arange(6000), 4))
    items = ResponseSets()(pool, 6000, np.random.default_rng(0)).items % 4
    for pair in itertools.permutations(range(4), 2):  # which response is shown first is a coin too
        assert abs((items == pair).all(axis=1).sum() - 500) < 5 * np.sqrt(500)


def test_ties_in_the_order_are_broken_at_random():
    pool = Pool(np.tile([0.0, 1.0, 1.0, 1.0, 2.0], 3000), np.repeat(np.arange(3000), 5))
    items = np.sort(ResponseSets("similar")(pool, 3000, np.random.default_rng(0)).items % 5, axis=1)
    for pair in [(1, 2), (1, 3), (2, 3)]:  # ranks 1 and 2 of the three equal ones
        assert abs((items == pair).all(axis=1).sum() - 1000) < 5 * np.sqrt(1000)


def test_across_one_of_a_set_meets_one_of_any_other_prompts():
    pool = Pool(np.arange(10.0), np.repeat(np.arange(5), 2))
    met = np.zeros((10, 10))
    rng = np.random.default_rng(0)
    for _ in range(1600):
        for i, j in ResponseSets("diverse", across=True)(pool, 5, rng).items:
            met[i, j] += 1
    other = pool.group[:, None] != pool.group
    assert met[~other].sum() == 0
    assert np.abs(met[other] - 100).max() < 5 * np.sqrt(100)  # 80 ordered pairs


def test_fewer_pairs_are_those_of_random_prompts():
    pool = some_pool([4] * 10, 0)
    rng = np.random.default_rng(0)
    for across in (False, True):
        shown = [ResponseSets("diverse", across)(pool, 3, rng).group for _ in range(600)]
        count = np.unique(np.concatenate(shown), return_counts=True)[1]
        assert len(count) == 10 and np.abs(count - 180).max() < 5 * np.sqrt(180)


@pytest.mark.parametrize("seed", range(5))
def test_equal_n_is_that_of_the_smallest_design_and_has_no_tie(seed):
    pool = some_pool([6] * 60, seed, levels=5)
    made = {
        (choice, across): ResponseSets(choice, across, equal_n=True)(pool, 60, np.random.default_rng(seed))
        for choice, across in DESIGNS
    }
    sizes = {len(c) for c in made.values()}
    assert len(sizes) == 1
    for (choice, across), c in made.items():
        gap = np.diff(pool.golden[c.items], axis=1)
        assert (gap != 0).all()
        assert ((pool.group[c.items[:, 0]] != pool.group[c.items[:, 1]]) == across).all()
        less = ranks_in_prompt(pool)[c.items]
        if choice == "similar" and not across:
            assert ((np.sort(less, axis=1) <= [2, 3]).all(axis=1)).all()
    # Middle ranks within a prompt differ whatever breaks the ties, so the smallest design is known: count it.
    ordered = np.sort(np.array([pool.golden[pool.group == g] for g in np.unique(pool.group)]), axis=1)
    middle = int((ordered[:, 2] != ordered[:, 3]).sum())
    assert FEWEST <= middle < 40 and sizes == {middle}


def test_equal_n_is_at_most_the_budget():
    pool = some_pool([6] * 60, 0)
    for choice, across in DESIGNS:
        made = ResponseSets(choice, across, equal_n=True)(pool, 25, np.random.default_rng(1))
        assert len(made) == 25 and len(np.unique(made.items)) == 50


def test_ties_stay_where_n_is_not_equal():
    pool = some_pool([6] * 60, 0, levels=3)
    made = ResponseSets("similar")(pool, 60, np.random.default_rng(0))
    assert len(made) == 60 and (np.diff(pool.golden[made.items], axis=1) == 0).any()


@pytest.mark.parametrize("equal_n", [False, True])
@pytest.mark.parametrize(("choice", "across"), DESIGNS)
def test_seed_decides_the_pairs(choice, across, equal_n):
    pool = some_pool([5] * 40, 3)
    pairing = ResponseSets(choice, across, equal_n)
    first, again, other = (pairing(pool, 30, np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.items, again.items)
    assert (first.items != other.items).any()


def test_capacity_is_a_pair_a_prompt():
    pool = some_pool([1, 2, 9, 1, 3], 0)
    assert [ResponseSets(c, a).capacity(pool) for c, a in DESIGNS] == [3] * 6
    assert ResponseSets().capacity(Pool(np.zeros(0), np.zeros(0, dtype=np.int64))) == 0


@pytest.mark.parametrize(
    ("pairing", "group", "n", "message"),
    [
        (ResponseSets(), [], 1, "every prompt has one response: sample at least 2"),
        (ResponseSets("similar", across=True), [0, 1, 2], 1, "every prompt has one response"),
        (ResponseSets(across=True), [0, 0, 0, 1], 1, "one prompt only has two responses.*add prompts"),
        (ResponseSets(equal_n=True), [0, 0, 0], 1, "one prompt only has two responses.*add prompts"),
        (
            ResponseSets(),
            [0, 0, 1, 1, 2],
            3,
            "asked for 3 .* 2 prompts have two responses: set comparisons.n=null",
        ),
        (ResponseSets(), [0, 0], 0, "at least 1"),
        (
            ResponseSets("diverse", equal_n=True),
            [0, 0, 1, 1, 2, 2],
            3,
            "fewer than 10 pairs are too few for a head: without ties 3 prompts give random within 3, random across 3, .*"
            "diverse across 3: use more prompts .*equal_n=false",
        ),
    ],
)
def test_pools_without_such_pairs_are_refused(pairing, group, n, message):
    with pytest.raises(InputError, match=message) as error:
        pairing(
            Pool(np.arange(float(len(group))), np.array(group, dtype=np.int64)), n, np.random.default_rng(0)
        )
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("level", "message"), [(1.0, "all golden rewards are equal"), (np.nan, "not finite")]
)
@pytest.mark.parametrize(
    "pairing", [ResponseSets("similar"), ResponseSets("diverse", True), ResponseSets(equal_n=True)]
)
def test_golden_rewards_without_an_order_are_refused(pairing, level, message):
    pool = Pool(np.full(40, level), np.repeat(np.arange(20), 2))
    with pytest.raises(InputError, match=message):
        pairing(pool, 20, np.random.default_rng(0))
    assert len(ResponseSets()(pool, 20, np.random.default_rng(0))) == 20


def test_one_prompt_has_one_pair_within():
    pool = Pool(np.arange(6.0), np.zeros(6, dtype=np.int64))
    assert sorted(ResponseSets("diverse")(pool, 1, np.random.default_rng(0)).items[0]) == [0, 5]


def test_misspelt_choice_is_refused():
    with pytest.raises(ValueError, match="use random, similar or diverse"):
        ResponseSets("middle")
