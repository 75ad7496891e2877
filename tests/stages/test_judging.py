import numpy as np
import pytest
from scipy.stats import spearmanr

from rmlab.metrics.overlap import prompt_overlap
from rmlab.settings import Evaluation
from rmlab.stages.judging import Judged, calibration_rows, curve_rows, metric_rows, paired_rows
from rmlab.stages.responses import Responses

HOW = Evaluation(resamples=200, select_by="best_of_n")


def responses(n_prompts=40, k=6, seed=0):
    rng = np.random.default_rng(seed)
    # groups with gaps, as when a split is cut from a larger set
    group = np.repeat(np.arange(n_prompts) * 3 + 1, k)
    m = len(group)
    ids = np.array([f"r{i}" for i in range(m)])
    return Responses(ids, np.array([f"p{g}" for g in group]), rng.normal(size=m), group)


def judged(arm, r, scores, raw=None, kind="head"):
    lengths = np.arange(len(r)) % 5 + 1.0
    return Judged(arm, kind, "test", r, lengths, scores, raw)


def value(rows, arm, metric):
    return next(row["value"] for row in rows if row["arm"] == arm and row["metric"] == metric)


def test_oracle_and_random_bound_every_head():
    r = responses()
    noise = np.random.default_rng(1).normal(size=len(r))
    arms = [
        judged("oracle", r, r.golden, kind="control"),
        judged("random", r, np.zeros(len(r)), kind="control"),
        judged("head", r, r.golden + noise, r.golden + noise),
    ]
    rows = metric_rows(arms, HOW, 0)
    best = {a.arm: value(rows, a.arm, "best_of_n") for a in arms}
    by_prompt = r.golden.reshape(40, 6)
    assert best["oracle"] == pytest.approx(by_prompt.max(axis=1).mean())
    assert best["random"] == pytest.approx(by_prompt.mean())
    assert best["random"] < best["head"] < best["oracle"]
    assert value(rows, "oracle", "accuracy") == 1 and value(rows, "random", "accuracy") == 0.5
    assert np.isnan(value(rows, "random", "spearman"))
    expected = np.mean(
        [spearmanr(r.golden[i : i + 6], (r.golden + noise)[i : i + 6])[0] for i in range(0, 240, 6)]
    )
    assert value(rows, "head", "spearman") == pytest.approx(expected)


def test_intervals_hold_the_value_and_shrink_with_prompts():
    widths = []
    for n in (20, 400):
        r = responses(n)
        row = metric_rows([judged("h", r, r.golden)], HOW, 0)[0]
        assert row["low"] <= row["value"] <= row["high"] and row["n_prompts"] == n
        widths.append(row["high"] - row["low"])
    assert widths[1] < widths[0] / 2


def test_the_curve_ends_in_the_metric():
    r = responses()
    arm = judged("h", r, r.golden)
    curve = curve_rows([arm], HOW, 0)
    assert [c["n"] for c in curve] == [1, 2, 4, 6] and curve[0]["kl"] == 0
    assert curve[-1]["value"] == pytest.approx(value(metric_rows([arm], HOW, 0), "h", "best_of_n"))


def test_paired_differences_are_of_the_same_prompts():
    r = responses()
    a, b = judged("a", r, r.golden), judged("b", r, -r.golden)
    rows = paired_rows([a, b, judged("c", r, np.zeros(len(r)), kind="control")], HOW, 0)
    assert {(x["arm"], x["other"]) for x in rows} == {("a", "b"), ("a", "c"), ("b", "a"), ("b", "c")}
    ab, ba = (next(x for x in rows if (x["arm"], x["other"]) == p) for p in (("a", "b"), ("b", "a")))
    by_prompt = r.golden.reshape(40, 6)
    assert ab["value"] == pytest.approx((by_prompt.max(1) - by_prompt.min(1)).mean())
    assert ba["value"] == pytest.approx(-ab["value"]) and ba["high"] == pytest.approx(-ab["low"])
    same = paired_rows([a, judged("a2", r, r.golden)], HOW, 0)[0]
    assert (same["value"], same["low"], same["high"]) == (0, 0, 0)


def test_calibration_of_true_log_odds_lies_on_the_diagonal():
    rng = np.random.default_rng(0)
    n = 4000
    raw = rng.normal(size=2 * n)
    wins = rng.random(n) < 1 / (1 + np.exp(-(raw[::2] - raw[1::2])))
    golden = np.zeros(2 * n)
    golden[::2], golden[1::2] = wins, ~wins
    group = np.repeat(np.arange(n), 2)
    r = Responses(group.astype(str), group.astype(str), golden, group)
    rows = calibration_rows([judged("h", r, raw, raw)])
    assert sum(row["count"] for row in rows) == n and len(rows) == 10
    assert all(abs(row["predicted"] - row["observed"]) < 0.08 for row in rows)
    assert value(metric_rows([judged("h", r, raw, raw)], HOW, 0), "h", "ece") < 0.03
    wrong = metric_rows([judged("h", r, raw, -raw)], HOW, 0)
    assert value(wrong, "h", "ece") > 0.2


def test_length_correlation_is_with_the_length():
    r = responses()
    lengths = np.arange(len(r)) % 5 + 1.0
    rows = metric_rows([judged("long", r, lengths), judged("short", r, -lengths)], HOW, 0)
    assert value(rows, "long", "length_spearman") == pytest.approx(1)
    assert value(rows, "short", "length_spearman") == pytest.approx(-1)


def test_overlap_counts_words_that_the_prompt_had():
    assert prompt_overlap("The red fox", "a Red, red dog") == 0.5
    assert prompt_overlap("x", "") == 0
