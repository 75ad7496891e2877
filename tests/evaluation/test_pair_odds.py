"""Calibration against annotators and against the golden order."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import brier_score_loss, log_loss

from rmlab.comparisons import Comparisons, Pool
from rmlab.evaluation.measure import Odds, PairAnswers
from rmlab.metrics.calibration import expected_calibration_error
from rmlab.noise.crowd import Crowd
from rmlab.noise.flips import RandomFlips
from rmlab.noise.logistic import Logistic

BETA, SCALE = 1.5, 2.0


@pytest.fixture
def rewards():
    return 2 * np.random.default_rng(0).normal(size=(2, 40_000))


def odds(rewards, margin, annotator, temperature=1.0):
    answers = PairAnswers.drawn(annotator, *rewards, 0)
    return Odds(margin, temperature, PairAnswers.golden(*rewards), answers)


def test_who_knows_the_annotator_is_calibrated_to_it_and_not_to_the_golden_order(rewards):
    margin = BETA * (rewards[0] - rewards[1]) / SCALE
    found = odds(rewards, margin, Logistic(beta=BETA, scale=SCALE)).numbers()
    assert found["ece_annotators"] < 0.01 and found["ece_golden"] > 0.1
    assert found["ece_raw_annotators"] == found["ece_annotators"]
    tempered = odds(rewards, 3 * margin, Logistic(beta=BETA, scale=SCALE), temperature=3.0).numbers()
    for name in ("ece_annotators", "nll_annotators", "brier_annotators", "ece_golden"):
        assert tempered[name] == pytest.approx(found[name])
    assert tempered["ece_raw_annotators"] > 0.08


def test_numbers_equal_scikit_learn(rewards):
    rng = np.random.default_rng(1)
    margin = rewards[0] - rewards[1] + rng.normal(size=rewards.shape[1])
    of = odds(rewards, margin, RandomFlips(0.2), temperature=1.7)
    found = of.numbers()
    for name, answers in (("annotators", of.annotators), ("golden", of.golden)):
        prob, answer = expit(margin[answers.pair] / 1.7), answers.first
        assert found[f"nll_{name}"] == pytest.approx(log_loss(answer, prob))
        assert found[f"brier_{name}"] == pytest.approx(brier_score_loss(answer, prob))
        assert found[f"ece_{name}"] == pytest.approx(expected_calibration_error(prob, answer))
        raw = expected_calibration_error(expit(margin[answers.pair]), answer)
        assert found[f"ece_raw_{name}"] == pytest.approx(raw)


def test_answers_are_of_the_first_response_whoever_answers(rewards):
    first, second = rewards
    agrees = {
        name: PairAnswers.drawn(annotator, first, second, 0)
        for name, annotator in {
            "none": Logistic(beta=None),
            "flips": RandomFlips(0.2),
            "rows": Crowd([0.1, 0.1, 0.1], merge="rows"),
            "share": Crowd([0.1, 0.1, 0.1], merge="share"),
        }.items()
    }
    right = {k: (a.first == (first > second)[a.pair]).mean() for k, a in agrees.items()}
    assert right["none"] == 1 and right["flips"] == pytest.approx(0.8, abs=0.01)
    assert right["rows"] == pytest.approx(0.9, abs=0.01) and len(agrees["rows"].pair) == 3 * len(first)
    share = agrees["share"]
    better = np.where(first > second, share.first, 1 - share.first)
    assert better.mean() == pytest.approx(0.9, abs=0.01) and set(share.first.round(3)) == {0, 0.333, 0.667, 1}


def test_the_annotator_of_some_comparisons_answers_others_by_the_same_law():
    """An error rate is met on the comparisons it was settled on; pairs of larger gaps then have fewer errors."""
    rng = np.random.default_rng(0)
    pool = Pool(rng.normal(size=4000), np.zeros(4000, np.int64))
    items = rng.permutation(4000).reshape(-1, 2)
    narrow = Comparisons(items, np.zeros(len(items), np.int64))
    settled = Logistic(error=0.2).settled(narrow, pool)
    gap = np.abs(pool.golden[items[:, 0]] - pool.golden[items[:, 1]])
    assert np.mean(expit(-settled.beta * gap)) == pytest.approx(0.2, abs=1e-6)
    same = settled(narrow, pool, np.random.default_rng(5))
    other = Logistic(error=0.2)(narrow, pool, np.random.default_rng(5))
    np.testing.assert_allclose(same.label_prob, other.label_prob)
    assert np.array_equal(same.items, other.items)
    wide = Pool(3 * pool.golden, pool.group)
    assert (~settled(narrow, wide, rng).correct).mean() < 0.12
    assert Logistic(beta=None).settled(narrow, pool).beta is None


def test_implied_pairs():
    items = np.array([[4, 2, 7], [1, 0, 3]])
    group = np.zeros(2, np.int64)
    pairs, share, weight = Comparisons(items, group, kind="list", weight=np.array([1.0, 2.0])).implied_pairs()
    assert pairs.tolist() == [[4, 2], [4, 7], [2, 7], [1, 0], [1, 3], [0, 3]]
    assert share.tolist() == [1] * 6 and weight.tolist() == pytest.approx([1 / 3] * 3 + [2 / 3] * 3)
    pairs, _, weight = Comparisons(items, group, kind="choice").implied_pairs()
    assert pairs.tolist() == [[4, 2], [4, 7], [1, 0], [1, 3]] and weight.tolist() == [0.5] * 4
    pairs, share, _ = Comparisons(items[:, :2], group, share=np.array([0.6, 1.0])).implied_pairs()
    assert pairs.tolist() == [[4, 2], [1, 0]] and share.tolist() == [0.6, 1.0]
    assert len(Comparisons(items[:, :1], group, kind="unpaired").implied_pairs()[0]) == 0
