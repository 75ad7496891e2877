from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmlab.errors import InputError
from rmlab.metrics.order import GoldenOrder, ScoreOrder

COUNTS = ("concordant", "discordant", "tied", "tied_twice", "golden_tied")


def by_loop(scores: np.ndarray, golden: np.ndarray) -> list[int]:
    counts = dict.fromkeys(COUNTS, 0)
    for i, j in itertools.combinations(range(len(scores)), 2):
        s, g = np.sign(scores[i] - scores[j]), np.sign(golden[i] - golden[j])
        counts["concordant"] += s * g > 0
        counts["discordant"] += s * g < 0
        counts["tied"] += s == 0
        counts["golden_tied"] += g == 0
        counts["tied_twice"] += s == 0 and g == 0
    return [counts[name] for name in COUNTS]


@settings(max_examples=150, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=6),
    levels=st.tuples(*[st.sampled_from([1, 2, 4, 10**6])] * 2),
    seed=st.integers(0, 10**6),
)
def test_pairs_are_counted_as_by_a_double_loop(sizes, levels, seed):
    rng = np.random.default_rng(seed)
    group = rng.permutation(np.repeat(np.arange(len(sizes)) * 3 - 5, sizes))
    scores, golden = (rng.integers(0, n, len(group)).astype(float) for n in levels)
    order = ScoreOrder.of(scores, GoldenOrder.of(golden, group))
    names = COUNTS[:-1]
    found = order.per_prompt(lambda b: np.column_stack([*(getattr(b, name) for name in names), b.truth.tied]))
    expected = [by_loop(scores[group == p], golden[group == p]) for p in np.unique(group)]
    np.testing.assert_array_equal(found, expected)


def test_one_golden_order_serves_every_arm():
    rng = np.random.default_rng(0)
    group = rng.permutation(np.repeat(np.arange(5), 7))
    golden = rng.integers(0, 4, 35).astype(float)
    truth = GoldenOrder.of(golden, group)
    first, second = rng.normal(size=(2, 35))
    before = ScoreOrder.of(first, truth).per_prompt(lambda b: b.discordant)
    ScoreOrder.of(second, truth).per_prompt(lambda b: b.discordant)
    again = ScoreOrder.of(first, truth).per_prompt(lambda b: b.discordant)
    np.testing.assert_array_equal(before, again)
    assert truth.n_prompts == 5 and truth.fewest == 7


def test_nan_is_refused():
    truth = GoldenOrder.of(np.zeros(3), np.zeros(3))
    with pytest.raises(InputError, match="NaN"):
        ScoreOrder.of(np.array([0, np.nan, 1]), truth)
    with pytest.raises(InputError, match="NaN"):
        GoldenOrder.of(np.array([0, np.nan, 1]), np.zeros(3))
