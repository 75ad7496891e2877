"""A teacher's answers: its own order, its own odds, and errors by the golden order."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from scipy.special import expit

from rmlab.comparisons import Comparisons, Pool
from rmlab.errors import ConfigError
from rmlab.noise.logistic import Logistic
from rmlab.noise.teacher import answered_by_scores


@pytest.fixture
def pool() -> Pool:
    rng = np.random.default_rng(0)
    return Pool(rng.normal(size=200), rng.integers(0, 20, size=200))


def pairs(pool: Pool, n: int = 500) -> Comparisons:
    rng = np.random.default_rng(1)
    items = np.array([rng.choice(len(pool), 2, replace=False) for _ in range(n)])
    return Comparisons(items, pool.group[items[:, 0]])


def test_a_teacher_that_scores_as_golden_answers_as_an_annotator_without_noise(pool):
    rng = np.random.default_rng(2)
    exact = Logistic(beta=None)(pairs(pool), pool, rng)
    found = answered_by_scores(pairs(pool), pool, 3 * pool.golden - 1, None, rng)
    for column in fields(Comparisons):
        np.testing.assert_array_equal(getattr(found, column.name), getattr(exact, column.name))


def test_a_teacher_that_is_always_wrong_is_counted_so(pool):
    found = answered_by_scores(pairs(pool), pool, -pool.golden, None, np.random.default_rng(0))
    assert not found.correct.any()
    assert (pool.golden[found.items[:, 0]] < pool.golden[found.items[:, 1]]).all()
    np.testing.assert_array_equal(found.group, pool.group[found.items[:, 0]])


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_sampled_answers_come_as_often_as_their_log_odds_say(pool, temperature):
    n = 40_000
    one = Comparisons(np.tile([3, 7], (n, 1)), np.full(n, pool.group[3]))
    scores = np.zeros(len(pool))
    scores[3], scores[7] = 0.4, -0.3
    found = answered_by_scores(one, pool, scores, temperature, np.random.default_rng(0))
    is_first = found.items[:, 0] == 3
    expected = expit(0.7 / temperature)
    assert is_first.mean() == pytest.approx(expected, abs=4 * np.sqrt(0.25 / n))
    np.testing.assert_allclose(found.label_prob, np.where(is_first, expected, 1 - expected))


def test_equal_scores_are_answered_by_a_coin(pool):
    found = answered_by_scores(pairs(pool, 4000), pool, np.zeros(200), None, np.random.default_rng(0))
    assert found.correct.mean() == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / 4000))


def test_rankings_are_not_what_a_teacher_answers(pool):
    lists = Comparisons(np.array([[0, 1, 2]]), np.array([0]), kind="list")
    with pytest.raises(ConfigError, match=r"answers pairs alone, not comparisons of kind list; set pairing="):
        answered_by_scores(lists, pool, pool.golden, None, np.random.default_rng(0))
