from __future__ import annotations

import math

import numpy as np
import pytest

from rmlab.comparisons import Comparisons, Kind, Pool
from rmlab.noise.error_report import NEAR_COIN, label_variance_histogram, near_coin_warning, noise_report
from rmlab.noise.logistic import Logistic


def test_hand_values():
    comparisons = Comparisons(
        items=np.arange(10).reshape(5, 2),
        group=np.zeros(5, dtype=np.int64),
        label_prob=np.array([0.9, 0.5, 0.8, 0.4, 1.0]),
        margin=np.array([3.0, 0.0, 1.0, 0.5, 2.5]),
        tie=np.array([False, True, False, False, False]),
        correct=np.array([True, False, True, False, True]),
    )
    report = noise_report(comparisons, n_dropped_ties=7)
    assert report["n"] == 5
    assert report["n_ties"] == 8
    assert report["error_rate"] == pytest.approx(1 / 4)
    assert report["mean_margin"] == pytest.approx(7 / 4)
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
    assert math.isnan(report["mean_margin"])
    assert math.isnan(report["label_variance_mean"])
    assert label_variance_histogram(tied)["count"].sum() == 0


def test_histogram_counts_every_answer_without_a_tie():
    prob = np.array([0.0, 1.0, 0.5, 0.5, 0.9, 0.1, 0.3, 0.7])
    comparisons = Comparisons(
        np.zeros((8, 2), dtype=int), np.zeros(8), label_prob=prob, tie=np.arange(8) == 7
    )
    table = label_variance_histogram(comparisons, bins=5)  # p(1-p): 0 0 .25 .25 .09 .09 .21
    np.testing.assert_allclose(table["low"], [0, 0.05, 0.1, 0.15, 0.2])
    np.testing.assert_allclose(table["high"], [0.05, 0.1, 0.15, 0.2, 0.25])
    assert table["count"].tolist() == [2, 2, 0, 0, 3]
    assert len(label_variance_histogram(comparisons)["count"]) == 20


def test_error_of_rankings_is_over_pairs_and_of_choices_over_lists():
    golden = np.array([[3.0, 1.0, 2.0], [1.0, 1.0, 2.0], [5.0, 4.0, 4.0]])
    columns = {
        "items": np.arange(9).reshape(3, 3),
        "group": np.zeros(3),
        "correct": np.array([False, False, True]),
    }
    ranking = Comparisons(**columns, kind="list", golden=golden)  # wrong: 1 of 3, 2 of 2, 0 of 2
    assert noise_report(ranking)["error_rate"] == pytest.approx(3 / 7)
    choice = Comparisons(**columns, kind="choice", golden=golden)
    assert noise_report(choice)["error_rate"] == pytest.approx(2 / 3)
    assert math.isnan(noise_report(Comparisons(**columns, kind="list"))["error_rate"])  # golden unknown


def answers(n: int, n_wrong: int, kind: Kind = "pair") -> Comparisons:
    items = np.arange(4 * n).reshape(n, 4) if kind == "choice" else np.arange(2 * n).reshape(n, 2)
    correct, margin = np.arange(n) >= n_wrong, np.full(n, 0.0035)
    return Comparisons(items, np.arange(n), kind, margin=margin, correct=correct, tie=np.zeros(n, dtype=bool))


def test_answers_that_are_nearly_those_of_a_coin_are_warned_of():
    warning = near_coin_warning(noise_report(answers(322, 159)), "pair")
    assert warning is not None and "\n" not in warning
    for part in ("49.4%", "322 train answers", "mean golden gap 0.0035", "another pairing", "noise.beta"):
        assert part in warning


def test_other_answers_are_not():
    at_the_edge = answers(100, round(100 * NEAR_COIN))
    assert near_coin_warning(noise_report(at_the_edge), "pair") is None
    assert near_coin_warning(noise_report(answers(100, 46)), "pair") is not None
    assert near_coin_warning(noise_report(answers(100, 46, "choice")), "choice") is None  # a coin: 75
    tied = Comparisons(np.array([[0, 1]]), np.array([0]), tie=np.array([True]), correct=np.array([False]))
    assert near_coin_warning(noise_report(tied), "pair") is None


def test_what_was_annotated_counts_ties():
    assert noise_report(answers(5, 1), n_dropped_ties=3)["n_annotated"] == 8
    assert noise_report(answers(5, 1), n_dropped_ties=3, n_annotated=24)["n_annotated"] == 24
