from __future__ import annotations

import itertools

import numpy as np
import pytest

from rmlab.metrics.accuracy import untied_pairs
from rmlab.metrics.order import GoldenOrder


def split(levels=3):
    rng = np.random.default_rng(levels)
    group = rng.permutation(np.repeat([4, 9, -2, 7], [5, 8, 1, 8]))
    return rng.integers(0, levels, len(group)).astype(float), group


def every_pair(golden, group):
    pairs = itertools.combinations(range(len(golden)), 2)
    return {(i, j) for i, j in pairs if group[i] == group[j] and golden[i] != golden[j]}


@pytest.mark.parametrize("levels", [1, 2, 3, 1000])
def test_all_pairs_are_those_of_a_double_loop(levels):
    golden, group = split(levels)
    first, second = untied_pairs(GoldenOrder.of(golden, group), 10**6, np.random.default_rng(0))
    found = list(zip(first.tolist(), second.tolist()))
    assert len(found) == len(set(found))
    assert set(found) == every_pair(golden, group)


def test_a_sample_is_uniform_and_without_repetition():
    golden, group = split()
    truth, expected = GoldenOrder.of(golden, group), every_pair(golden, group)
    times = dict.fromkeys(expected, 0)
    rng = np.random.default_rng(0)
    for _ in range(3000):
        found = set(zip(*(x.tolist() for x in untied_pairs(truth, 7, rng))))
        assert len(found) == 7
        for pair in found:
            times[pair] += 1
    share = np.array(list(times.values())) / 3000
    p = 7 / len(expected)
    assert np.abs(share - p).max() < 5 * np.sqrt(p * (1 - p) / 3000)


def test_the_seed_decides_the_sample():
    golden, group = split()
    truth = GoldenOrder.of(golden, group)
    a, b, c = (untied_pairs(truth, 9, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert (np.array(a) != np.array(c)).any()


def test_many_prompts_of_many_responses_are_not_enumerated():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(400), 500)  # 50 million pairs
    first, second = untied_pairs(GoldenOrder.of(rng.normal(size=len(group)), group), 1000, rng)
    assert len(first) == 1000 and (group[first] == group[second]).all() and (first < second).all()
