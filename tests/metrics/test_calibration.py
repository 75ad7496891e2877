from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from rmlab.errors import InputError
from rmlab.metrics.calibration import expected_calibration_error, reliability


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
