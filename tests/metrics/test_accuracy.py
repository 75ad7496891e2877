from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmlab.errors import InputError
from rmlab.metrics.accuracy import pairwise_accuracy
from rmlab.metrics.order import ScoreOrder


def double_loop(scores: np.ndarray, golden: np.ndarray) -> float:
    points, pairs = 0.0, 0
    for i, j in itertools.combinations(range(len(scores)), 2):
        if golden[i] == golden[j]:
            continue
        pairs += 1
        if scores[i] == scores[j]:
            points += 0.5
        elif (scores[i] > scores[j]) == (golden[i] > golden[j]):
            points += 1
    return points / pairs if pairs else np.nan


@settings(max_examples=100, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 8), min_size=1, max_size=6),
    levels=st.sampled_from([1, 2, 4, 10**6]),
    seed=st.integers(0, 10**6),
)
def test_it_equals_a_double_loop(sizes, levels, seed):
    rng = np.random.default_rng(seed)
    group = rng.permutation(np.repeat(np.arange(len(sizes)) * 3 - 5, sizes))
    scores, golden = rng.integers(0, levels, (2, len(group))).astype(float)
    expected = [double_loop(scores[group == prompt], golden[group == prompt]) for prompt in np.unique(group)]
    np.testing.assert_allclose(
        pairwise_accuracy(ScoreOrder.flat(scores, golden, group)), expected, atol=1e-12
    )


def test_the_golden_reward_is_always_right_and_a_constant_half_right():
    golden = np.random.default_rng(0).integers(0, 5, 40).astype(float)
    group = np.repeat(np.arange(4), 10)
    np.testing.assert_array_equal(pairwise_accuracy(ScoreOrder.flat(golden, golden, group)), 1)
    np.testing.assert_array_equal(pairwise_accuracy(ScoreOrder.flat(-golden, golden, group)), 0)
    np.testing.assert_array_equal(pairwise_accuracy(ScoreOrder.flat(np.zeros(40), golden, group)), 0.5)


@pytest.mark.parametrize("bad", [0, 1])
def test_accuracy_refuses_nan(bad):
    arrays = [np.arange(4.0), np.arange(4.0)]
    arrays[bad][2] = np.nan
    with pytest.raises(InputError, match="NaN"):
        pairwise_accuracy(ScoreOrder.flat(*arrays, np.zeros(4, dtype=np.int64)))
