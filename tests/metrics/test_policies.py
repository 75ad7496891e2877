"""Policies on samples against tables worked out by hand, enumeration, and identities."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmlab.errors import InputError
from rmlab.metrics.among_n import kl_of_n
from rmlab.metrics.policies import best_of_n, effective_size, kl_from_samples, soft_best_of_n, tilt

# A policy with probabilities .5, .3 and .2 and rewards 0, 1 and 2, as ten samples.
TABLE = np.array([[0.0] * 5 + [1.0] * 3 + [2.0] * 2])


def by_reward(policy: np.ndarray) -> np.ndarray:
    """The probability of each reward of the table."""
    return np.array([policy[0, TABLE[0] == r].sum() for r in (0, 1, 2)])


def optimum(beta: float) -> np.ndarray:
    weights = np.array([0.5, 0.3, 0.2]) * np.exp(np.array([0, 1, 2]) / beta)
    return weights / weights.sum()


@pytest.mark.parametrize(
    ("beta", "expected", "kl", "value"),
    [(1.0, (0.1790, 0.2919, 0.5291), 0.3228, 1.0272), (0.5, (0.0367, 0.1626, 0.8008), 0.9155, 1.3064)],
)
def test_the_tilt_of_a_table_is_the_optimum_of_the_objective(beta, expected, kl, value):
    policy = tilt(TABLE, beta)
    np.testing.assert_allclose(by_reward(policy), expected, atol=5e-5)
    np.testing.assert_allclose(by_reward(policy), optimum(beta), rtol=1e-12)
    assert kl_from_samples(policy)[0] == pytest.approx(kl, abs=5e-5)
    assert (policy * TABLE).sum() - beta * kl_from_samples(policy)[0] == pytest.approx(value, abs=5e-5)


def test_the_best_of_four_of_a_table_is_below_its_bound():
    policy = best_of_n(TABLE, 4)
    np.testing.assert_allclose(by_reward(policy), (0.0625, 0.3471, 0.5904), atol=5e-5)
    assert kl_from_samples(policy)[0] == pytest.approx(0.5598, abs=5e-5)
    assert kl_of_n(4) == pytest.approx(0.6363, abs=5e-5)


def test_many_samples_without_ties_reach_the_bound():
    samples = np.random.default_rng(0).permutation(4000.0 * np.arange(1, 4001)).reshape(1, -1)
    for n in (2, 4, 16):
        found = kl_from_samples(best_of_n(samples, n))[0]
        assert kl_of_n(n) - 0.001 < found <= kl_of_n(n)


@settings(max_examples=60, deadline=None)
@given(
    k=st.integers(1, 4),
    levels=st.integers(1, 5),
    beta=st.sampled_from([0.05, 0.5, 3.0]),
    seed=st.integers(0, 999),
)
def test_drawing_equals_enumeration_of_all_draws(k, levels, beta, seed):
    rewards = np.random.default_rng(seed).integers(0, levels, (2, k)) / 2.0
    ns = list(range(1, k + 1))
    soft = soft_best_of_n(rewards, beta, ns)
    for place, n in enumerate(ns):
        hard = best_of_n(rewards, n)
        for row, r in enumerate(rewards):
            best, kept = np.zeros(k), np.zeros(k)
            for draw in itertools.product(range(k), repeat=n):
                drawn = np.array(draw)
                winners = drawn[r[drawn] == r[drawn].max()]
                np.add.at(best, winners, 1 / len(winners) / k**n)
                weights = np.exp((r[drawn] - r.max()) / beta)
                np.add.at(kept, drawn, weights / weights.sum() / k**n)
            np.testing.assert_allclose(hard[row], best, atol=1e-12)
            np.testing.assert_allclose(soft[place, row], kept, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(shift=st.floats(-50, 50), seed=st.integers(0, 999))
def test_a_constant_added_to_the_reward_changes_nothing(shift, seed):
    rewards = np.round(np.random.default_rng(seed).normal(size=(3, 7)), 2)
    moved = np.round(rewards + round(shift, 2), 2)
    np.testing.assert_allclose(tilt(moved, 0.3), tilt(rewards, 0.3), atol=1e-9)
    np.testing.assert_allclose(best_of_n(moved, 3), best_of_n(rewards, 3), atol=1e-12)
    np.testing.assert_allclose(soft_best_of_n(moved, 0.3, [3]), soft_best_of_n(rewards, 0.3, [3]), atol=1e-9)


def test_soft_best_of_n_lies_between_the_reference_and_its_limits():
    rewards = np.round(np.random.default_rng(1).normal(size=(4, 40)), 1)  # no two nearly equal
    hot, cold = soft_best_of_n(rewards, 1e3, [8])[0], soft_best_of_n(rewards, 1e-3, [8])[0]
    np.testing.assert_allclose(hot, 1 / 40, rtol=0.01)
    np.testing.assert_allclose(cold, best_of_n(rewards, 8), atol=1e-9)
    np.testing.assert_allclose(soft_best_of_n(rewards, 0.5, [1])[0], 1 / 40, rtol=1e-12)
    one_prompt = rewards[:1]
    drawn = soft_best_of_n(np.tile(one_prompt, (1, 50)), 0.7, [1500])[0].reshape(50, 40).sum(axis=0)
    np.testing.assert_allclose(drawn, tilt(one_prompt, 0.7)[0], atol=2e-3)


def test_a_constant_reward_leaves_the_reference():
    flat = np.full((2, 6), 3.7)
    policies = [tilt(flat, 0.1), best_of_n(flat, 4), soft_best_of_n(flat, 0.1, [4])[0]]
    for policy in policies:
        np.testing.assert_allclose(policy, 1 / 6, rtol=1e-12)
        np.testing.assert_allclose(kl_from_samples(policy), 0, atol=1e-12)
        np.testing.assert_allclose(effective_size(policy), 6, rtol=1e-12)


def test_kl_and_effective_size_at_their_ends():
    one = np.zeros((1, 8))
    one[0, 3] = 1.0
    assert kl_from_samples(one)[0] == pytest.approx(np.log(8))
    assert effective_size(one)[0] == 1
    assert kl_from_samples(tilt(np.arange(8.0)[None], 1e-3))[0] == pytest.approx(np.log(8))


@pytest.mark.parametrize("beta", [0.0, -1.0, np.nan, np.inf])
def test_a_beta_that_tilts_nothing_is_refused(beta):
    for make in (lambda: tilt(TABLE, beta), lambda: soft_best_of_n(TABLE, beta, [2])):
        with pytest.raises(InputError, match="needs a beta above 0"):
            make()


@pytest.mark.parametrize("n", [0, 11])
def test_an_n_that_cannot_be_drawn_is_refused(n):
    for make in (lambda: best_of_n(TABLE, n), lambda: soft_best_of_n(TABLE, 1.0, [n])):
        with pytest.raises(InputError, match="from 1 to the 10 responses"):
            make()
