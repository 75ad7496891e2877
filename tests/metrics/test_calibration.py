from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from rmlab.errors import InputError
from rmlab.metrics.calibration import (
    brier_score,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    reliability,
)


@pytest.mark.parametrize("bins", [1, 5, 10, 33])
def test_it_equals_scikit_learn(bins):
    rng = np.random.default_rng(0)
    prob = np.concatenate([rng.beta(5, 2, 400), [0.0, 0.1, 0.2, 0.5, 1.0]])  # edges of bins too
    correct = rng.random(len(prob)) < prob
    table = reliability(prob, correct, bins)
    used = table["count"] > 0
    share, mean = calibration_curve(correct, prob, n_bins=bins)
    np.testing.assert_allclose(table["correct"][used], share)
    np.testing.assert_allclose(table["prob"][used], mean)
    assert table["count"].sum() == len(prob)


def test_empty_bins_are_nan_and_edges_span_the_unit_interval():
    table = reliability(np.array([0.95, 0.9, 0.05]), np.array([True, False, False]))
    assert table["count"].tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 1, 1]
    assert np.isnan(table["prob"][1:8]).all()
    assert np.isnan(table["correct"][1:8]).all()
    np.testing.assert_allclose(table["low"], np.arange(10) / 10)
    np.testing.assert_allclose(table["high"], np.arange(1, 11) / 10)


def test_expected_calibration_error_by_hand():
    prob = np.array([0.95, 0.91, 0.35, 0.31])
    correct = np.array([True, False, False, False])
    expected = 0.5 * abs(0.5 - 0.93) + 0.5 * abs(0 - 0.33)
    assert expected_calibration_error(prob, correct) == pytest.approx(expected)


def test_a_calibrated_head_has_little_error_and_an_overconfident_one_much():
    rng = np.random.default_rng(0)
    margin = rng.normal(size=20000)
    correct = rng.random(20000) < 1 / (1 + np.exp(-margin))
    assert expected_calibration_error(1 / (1 + np.exp(-margin)), correct) < 0.015
    assert expected_calibration_error(1 / (1 + np.exp(-4 * margin)), correct) > 0.1


@pytest.mark.parametrize("prob", [[], [1.2], [-0.1], [np.nan]])
def test_what_is_no_probability_is_refused(prob):
    with pytest.raises(InputError, match="pass sigma"):
        reliability(np.array(prob), np.ones(len(prob), dtype=bool))


def test_likelihood_and_brier_score_equal_scikit_learn():
    rng = np.random.default_rng(0)
    margin, weight = 3 * rng.normal(size=500), rng.random(500)
    answer = rng.random(500) < expit(margin / 2)
    assert negative_log_likelihood(margin, answer) == pytest.approx(log_loss(answer, expit(margin)))
    weighted = log_loss(answer, expit(margin), sample_weight=weight)
    assert negative_log_likelihood(margin, answer, weight) == pytest.approx(weighted)
    assert brier_score(expit(margin), answer) == pytest.approx(brier_score_loss(answer, expit(margin)))
    assert negative_log_likelihood(np.array([1e4]), np.array([0.0])) == 1e4  # no overflow


def test_shares_count_as_that_many_answers():
    margin, share = np.array([1.0, -0.5]), np.array([0.75, 0.5])
    each, answer = np.repeat(margin, 4), np.array([1, 1, 1, 0, 1, 1, 0, 0.0])
    assert negative_log_likelihood(margin, share) == pytest.approx(negative_log_likelihood(each, answer))
    assert brier_score(expit(margin), share) == pytest.approx(brier_score(expit(each), answer))


@pytest.mark.parametrize("factor", [0.05, 1.0, 2.7, 400.0])
def test_the_temperature_is_the_factor_by_which_log_odds_were_scaled(factor):
    rng = np.random.default_rng(1)
    log_odds = 2 * rng.normal(size=50_000)
    answer = rng.random(50_000) < expit(log_odds)
    assert fit_temperature(factor * log_odds, answer) == pytest.approx(factor, rel=0.03)


def test_the_temperature_is_the_minimum_of_the_likelihood():
    rng = np.random.default_rng(2)
    margin, weight = rng.normal(size=400), rng.random(400)
    answer = rng.random(400) < expit(margin)
    smooth = (400 * answer + 1) / 402

    def loss(inverse: float) -> float:
        return negative_log_likelihood(inverse * margin, smooth, weight)

    found = minimize_scalar(loss, bracket=(0.5, 2.0), tol=1e-12).x  # by 1 / T, in which it is convex
    assert fit_temperature(margin, answer, weight) == pytest.approx(1 / found, rel=1e-5)


def test_temperatures_stay_finite():
    margin = np.abs(np.random.default_rng(0).normal(size=100)) + 0.1
    assert 0 < fit_temperature(margin, np.ones(100)) < 1  # right every time
    assert fit_temperature(margin, np.zeros(100)) > 100  # wrong every time: every probability near 1/2
    assert fit_temperature(np.zeros(5), np.ones(5)) == fit_temperature(np.empty(0), np.empty(0)) == 1.0
