"""What holds for every selector."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmlab.errors import InputError
from rmlab.selection.base import Candidates
from rmlab.selection.by_score import Entropy, MaxDifference, Uniform
from rmlab.selection.designs import Coreset, DOptimal

READING = [Entropy(), MaxDifference(), Coreset(), DOptimal(), DOptimal(past=True)]
SELECTORS = [Uniform(), *READING]


def make(c: int, f: int, p: int, seed: int, dtype: str = "float64") -> Candidates:
    rng = np.random.default_rng(seed)
    return Candidates(
        z=rng.normal(size=(c, f)).astype(dtype),
        margin=rng.normal(scale=2, size=c).astype(dtype),
        past_z=rng.normal(size=(p, f)).astype(dtype),
        past_margin=rng.normal(scale=2, size=p).astype(dtype),
    )


def flat(c: int, z: float, margin: float) -> Candidates:
    return Candidates(np.full((c, 3), z), np.full(c, margin), np.full((2, 3), z), np.full(2, margin))


def chosen(selector, candidates: Candidates, n: int, seed: int = 0) -> list[int]:
    return selector(candidates, n, np.random.default_rng(seed)).tolist()


@settings(max_examples=25, deadline=None)
@given(
    c=st.integers(1, 12),
    f=st.integers(1, 5),
    p=st.integers(0, 4),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from(["float16", "float32", "float64"]),
)
@pytest.mark.parametrize("selector", SELECTORS, ids=repr)
def test_rows_are_distinct_and_few_are_the_first_of_many(selector, c, f, p, share, seed, dtype):
    candidates = make(c, f, p, seed, dtype)
    n = 1 + int(share * (c - 1))
    rows = selector(candidates, n, np.random.default_rng(seed))
    assert rows.shape == (n,)
    assert rows.dtype == np.int64
    everything = chosen(selector, candidates, c, seed)
    assert sorted(everything) == list(range(c))
    assert rows.tolist() == everything[:n]


@pytest.mark.parametrize("p", [0, 9])
@pytest.mark.parametrize("selector", SELECTORS, ids=repr)
def test_the_order_in_which_a_pair_is_shown_changes_nothing(selector, p):
    candidates = make(40, 6, p, 1)
    rng = np.random.default_rng(2)
    for _ in range(5):
        sign, past_sign = rng.choice([-1.0, 1.0], 40), rng.choice([-1.0, 1.0], p)
        flipped = Candidates(
            candidates.z * sign[:, None],
            candidates.margin * sign,
            candidates.past_z * past_sign[:, None],
            candidates.past_margin * past_sign,
        )
        assert chosen(selector, flipped, 25) == chosen(selector, candidates, 25)


@pytest.mark.parametrize(
    "candidates",
    [flat(9, 0.0, 0.0), flat(9, 1.0, 1e4), flat(9, 1e4, -1e4), flat(9, 1e4, 0.0)],
    ids=["all zero", "sure", "large and sure", "large copies"],
)
@pytest.mark.parametrize("selector", SELECTORS, ids=repr)
def test_equal_candidates_are_chosen_in_random_order(selector, candidates):
    first = [chosen(selector, candidates, 9, seed) for seed in range(400)]
    assert all(sorted(rows) == list(range(9)) for rows in first)
    count = np.bincount([rows[0] for rows in first], minlength=9)  # each expected 44 times, sd about 6
    assert count.min() > 20
    assert count.max() < 72


@pytest.mark.parametrize("selector", SELECTORS, ids=repr)
def test_the_rng_decides_what_is_left_open(selector):
    candidates = flat(30, 1.0, 0.5)
    assert chosen(selector, candidates, 10, 3) == chosen(selector, candidates, 10, 3)
    assert chosen(selector, candidates, 10, 3) != chosen(selector, candidates, 10, 4)


@pytest.mark.parametrize("selector", READING, ids=repr)
def test_the_rng_decides_nothing_else(selector):
    candidates = make(30, 5, 4, 0)
    assert len({tuple(chosen(selector, candidates, 12, seed)) for seed in range(5)}) == 1


@pytest.mark.parametrize("selector", SELECTORS, ids=repr)
def test_inputs_are_left_as_they_are(selector):
    candidates, same = make(20, 4, 6, 0), make(20, 4, 6, 0)
    chosen(selector, candidates, 10)
    for name in ("z", "margin", "past_z", "past_margin"):
        np.testing.assert_array_equal(getattr(candidates, name), getattr(same, name))


@pytest.mark.parametrize(("n", "message"), [(0, "at least 1"), (-3, "at least 1"), (6, "only 5 candidates")])
@pytest.mark.parametrize("selector", SELECTORS, ids=repr)
def test_budgets_that_cannot_be_met_are_refused(selector, n, message):
    with pytest.raises(InputError, match=message) as found:
        chosen(selector, make(5, 2, 0, 0), n)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e200])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("z", "features of candidate"),
        ("margin", "score differences of candidate"),
        ("past_z", "features of annotated"),
        ("past_margin", "score differences of annotated"),
    ],
)
@pytest.mark.parametrize("selector", READING, ids=repr)
def test_numbers_that_are_not_finite_are_refused(selector, name, message, value):
    candidates = make(5, 2, 4, 0)
    getattr(candidates, name)[3] = value
    with pytest.raises(InputError, match=f"some {message}.* comparisons are not finite") as found:
        chosen(selector, candidates, 2)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"past_z": np.ones((4, 3))},
        {"past_margin": np.ones(3)},
        {"z": np.ones((4, 2))},
        {"z": np.ones(5), "past_z": np.ones(4)},
    ],
    ids=["another width", "past too short", "candidates too few", "one dimension"],
)
@pytest.mark.parametrize("selector", READING, ids=repr)
def test_shapes_that_do_not_fit_are_refused(selector, wrong):
    with pytest.raises(InputError, match="do not fit together"):
        chosen(selector, replace(make(5, 2, 4, 0), **wrong), 2)


def test_only_uniform_needs_no_head_and_reads_nothing():
    assert [selector.needs_head for selector in SELECTORS] == [False] + [True] * len(READING)
    unknown = Candidates(np.empty((5, 0)), np.full(5, np.nan), np.empty((0, 0)), np.empty(0))
    assert sorted(chosen(Uniform(), unknown, 5)) == [0, 1, 2, 3, 4]
