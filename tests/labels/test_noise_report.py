from __future__ import annotations

import math

import numpy as np
import pytest

from rmlab.comparisons import Comparisons, Pool
from rmlab.labels.logistic import Logistic
from rmlab.labels.report import noise_report


def test_hand_values():
    comparisons = Comparisons(
        items=np.arange(10).reshape(5, 2),
        group=np.zeros(5, dtype=np.int64),
        label_prob=np.array([0.9, 0.5, 0.8, 0.4, 1.0]),
        tie=np.array([False, True, False, False, False]),
        correct=np.array([True, False, True, False, True]),
    )
    report = noise_report(comparisons, n_dropped_ties=7)
    assert report["n"] == 5
    assert report["n_ties"] == 8
    assert report["error_rate"] == pytest.approx(1 / 4)
    assert report["label_variance_mean"] == pytest.approx((0.09 + 0.16 + 0.24 + 0) / 4)
    assert report["label_variance_q50"] == pytest.approx((0.09 + 0.16) / 2)
    assert report["label_variance_q05"] == pytest.approx(np.quantile([0.09, 0.16, 0.24, 0], 0.05))
    assert report["label_variance_q95"] == pytest.approx(np.quantile([0.09, 0.16, 0.24, 0], 0.95))


def test_kept_and_dropped_ties_give_one_report():
    rng = np.random.default_rng(0)
    pool = Pool(rng.integers(0, 4, 400).astype(float), np.arange(400))
    before = Comparisons(items=np.arange(400).reshape(200, 2), group=np.arange(0, 400, 2))
    dropped = Logistic(error=0.2)(before, pool, np.random.default_rng(0))
    kept = Logistic(error=0.2, keep_ties=True)(before, pool, np.random.default_rng(0))
    without, with_ties = noise_report(dropped, len(before) - len(dropped)), noise_report(kept)
    assert without.pop("n") + without["n_ties"] == with_ties.pop("n") == 200
    assert without == with_ties


def test_nothing_but_ties_has_no_error_rate():
    tied = Comparisons(np.array([[0, 1]]), np.array([0]), tie=np.array([True]), correct=np.array([False]))
    report = noise_report(tied)
    assert report["n_ties"] == 1
    assert math.isnan(report["error_rate"])
    assert math.isnan(report["label_variance_mean"])
