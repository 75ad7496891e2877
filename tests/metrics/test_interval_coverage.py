from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from rmlab.metrics.calibration import interval_coverage


def test_true_deviations_cover_what_they_promise_and_halved_ones_less():
    rng = np.random.default_rng(0)
    std = rng.uniform(0.5, 2.0, 50_000)
    truth = rng.normal(size=50_000)
    mean = truth + std * rng.normal(size=50_000)
    z = norm.ppf(0.95)
    coverage, width = interval_coverage(mean, std, truth)
    assert coverage == pytest.approx(0.9, abs=0.01) and width == pytest.approx(2 * z * std.mean())
    too_narrow, half = interval_coverage(mean, std / 2, truth)
    assert too_narrow == pytest.approx(2 * norm.cdf(z / 2) - 1, abs=0.01)
    assert half == pytest.approx(width / 2)


def test_by_hand_and_without_pairs():
    mean, truth = np.array([0.0, 0.0, 1.0]), np.array([1.6, 1.7, 1.0])
    assert interval_coverage(mean, np.ones(3), truth) == (pytest.approx(2 / 3), pytest.approx(2 * 1.6448536))
    assert np.isnan(interval_coverage(np.empty(0), np.empty(0), np.empty(0))).all()
