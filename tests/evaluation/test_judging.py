import numpy as np
import pytest
from scipy.stats import spearmanr

from rmlab.config.fitting import Evaluation
from rmlab.evaluation.judged_arms import (
    PAIRED_METRICS,
    ScoredArm,
    calibration_rows,
    conformal_rows,
    curve_rows,
    judge,
    judge_one,
    metric_rows,
    paired_rows,
)
from rmlab.evaluation.measure import JudgedSplit
from rmlab.metrics.controlled import prompt_overlap
from rmlab.responses.table import Responses
from rmlab.stages.report import verdict

HOW = Evaluation(resamples=200, select_by="best_of_n")


def responses(n_prompts=40, k=6, seed=0):
    rng = np.random.default_rng(seed)
    # groups with gaps, as when a split is cut from a larger set
    group = np.repeat(np.arange(n_prompts) * 3 + 1, k)
    m = len(group)
    ids = np.array([f"r{i}" for i in range(m)])
    return Responses(ids, np.array([f"p{g}" for g in group]), rng.normal(size=m), group)


def judged(arm, r, scores, raw=None, kind="head", lengths=None, split="test"):
    lengths = np.arange(len(r)) % 5 + 1.0 if lengths is None else lengths
    of = JudgedSplit.of(split, r, np.arange(len(r)), lengths)
    return judge(of, ScoredArm(arm, kind, scores, raw), seed=0)


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
    assert value(rows, "random", "spearman") == 0
    assert {x["arm"]: x["n_constant"] for x in rows} == {"oracle": 0, "random": 40, "head": 0}
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
    every = paired_rows([a, b, judged("c", r, np.zeros(len(r)), kind="control")], HOW, 0)
    assert len(every) == 4 * len(PAIRED_METRICS)
    rows = [x for x in every if x["metric"] == "best_of_n"]
    assert {(x["arm"], x["other"]) for x in rows} == {("a", "b"), ("a", "c"), ("b", "a"), ("b", "c")}
    ab, ba = (next(x for x in rows if (x["arm"], x["other"]) == p) for p in (("a", "b"), ("b", "a")))
    by_prompt = r.golden.reshape(40, 6)
    assert ab["value"] == pytest.approx((by_prompt.max(1) - by_prompt.min(1)).mean())
    assert ba["value"] == pytest.approx(-ab["value"]) and ba["high"] == pytest.approx(-ab["low"])
    same = paired_rows([a, judged("a2", r, r.golden)], HOW, 0)[0]
    assert (same["value"], same["low"], same["high"]) == (0, 0, 0)


def test_each_paired_metric_is_the_difference_of_the_metric():
    r = responses()
    noise = np.random.default_rng(1).normal(size=(2, len(r)))
    arms = [judged("a", r, r.golden + noise[0]), judged("b", r, r.golden + 3 * noise[1])]
    rows = metric_rows(arms, HOW, 0)
    for metric in PAIRED_METRICS:
        found = next(x for x in paired_rows(arms, HOW, 0) if x["metric"] == metric and x["arm"] == "a")
        assert found["value"] == pytest.approx(value(rows, "a", metric) - value(rows, "b", metric))
        assert found["low"] <= found["value"] <= found["high"]
        assert found["n"] == (6 if metric in ("best_of_n", "selected_quantile") else 0)


def test_a_prompt_on_which_a_head_is_constant_counts_zero_and_is_counted():
    r = responses()
    half = r.golden * (np.arange(len(r)) < 120)
    arms = [judged("a", r, r.golden), judged("b", r, half)]
    rows = paired_rows(arms, HOW, 0)
    counts = {x["metric"]: x["n_prompts"] for x in rows if x["arm"] == "a"}
    assert counts == {"best_of_n": 40, "spearman": 40, "accuracy": 40, "selected_quantile": 40}
    assert value(metric_rows(arms, HOW, 0), "b", "spearman") == pytest.approx(0.5)
    assert judge_one(arms[1], HOW, 0)["n_constant"] == 20


def test_a_difference_is_over_the_prompts_where_golden_rewards_differ():
    r = responses()
    r = Responses(r.ids, r.prompt_ids, np.where(np.arange(len(r)) < 60, 1.0, r.golden), r.group)
    noise = np.random.default_rng(1).normal(size=len(r))
    rows = paired_rows([judged("a", r, r.golden), judged("b", r, noise)], HOW, 0)
    counts = {x["metric"]: x["n_prompts"] for x in rows if x["arm"] == "a"}
    assert counts == {"best_of_n": 40, "spearman": 30, "accuracy": 30, "selected_quantile": 40}


def test_the_proxy_curve_is_of_heads_and_in_the_unit_of_scores():
    r = responses()
    scores = (r.golden - r.golden.mean()) / r.golden.std()
    head, control = judged("h", r, scores), judged("oracle", r, r.golden, kind="control")
    for row in curve_rows([head, control], HOW, 0):
        golden = [
            (row[name] - row["golden_mean"]) / row["golden_deviation"] for name in ("value", "low", "high")
        ]
        own = [row["proxy"], row["proxy_low"], row["proxy_high"]]
        np.testing.assert_allclose(own, golden if row["arm"] == "h" else np.nan, atol=1e-12)
    noise = np.random.default_rng(1).normal(size=len(r))
    last = curve_rows([judged("h", r, 3 * noise)], HOW, 0)[-1]
    assert last["proxy"] == pytest.approx(3 * noise.reshape(40, 6).max(axis=1).mean())


def test_one_flat_row_has_the_numbers_of_the_tables():
    r = responses()
    noise = np.random.default_rng(1).normal(size=len(r))
    scores = r.golden + noise
    arm = judged("h", r, scores, scores)
    row, rows = judge_one(arm, HOW, 3), metric_rows([judged("h", r, scores, scores)], HOW, 3)
    for found in rows:
        assert row[found["metric"]] == found["value"]
        if found["metric"] in PAIRED_METRICS:
            low, high = (row[f"{found['metric']}_{end}"] for end in ("low", "high"))
            assert (low, high) == (found["low"], found["high"])
    assert (row["largest_n"], row["n_prompts"]) == (6, 40)
    assert row["golden_mean"] == r.golden.mean() and row["golden_deviation"] == r.golden.std()
    assert len(row) == len(rows) + 2 * len(PAIRED_METRICS) + 5
    assert all(type(x) is float for x in row.values())
    assert not any(name.startswith("ece") for name in judge_one(judged("h", r, scores), HOW, 3))


@pytest.mark.parametrize("name", ["one response", "equal golden", "constant scores"])
def test_what_is_undefined_is_nan_and_counted(name):
    r = responses(k=1 if name == "one response" else 6)
    if name == "equal golden":
        r = Responses(r.ids, r.prompt_ids, np.full(len(r), 2.0), r.group)
    scores = np.zeros(len(r)) if name == "constant scores" else np.arange(len(r)) * 1.0
    arms = [judged("a", r, scores, scores), judged("b", r, -scores, -scores)]
    rows = {x["metric"]: x for x in metric_rows(arms, HOW, 0) if x["arm"] == "a"}
    assert rows["best_of_n"]["value"] == pytest.approx(r.golden.mean())
    quantile = rows["selected_quantile"]["value"]
    assert np.isnan(quantile) if name == "one response" else quantile == pytest.approx(0.5)
    for metric in ("spearman", "kendall"):
        if name == "constant scores":
            assert rows[metric]["value"] == rows[metric]["low"] == 0 and rows[metric]["n_constant"] == 40
        else:
            assert np.isnan(rows[metric]["value"]) and rows[metric]["n_prompts"] == 0
    accuracy = rows["accuracy"]["value"]
    assert accuracy == 0.5 if name == "constant scores" else np.isnan(accuracy)
    assert (
        (calibration_rows(arms) == []) == np.isnan(rows["ece_golden"]["value"]) == (name != "constant scores")
    )
    assert len(curve_rows(arms, HOW, 0)) == 2 * (1 if name == "one response" else 4)
    assert len(paired_rows(arms, HOW, 0)) == 2 * len(PAIRED_METRICS)
    assert np.isnan(judge_one(arms[0], HOW, 0)["spearman_low"]) == (name != "constant scores")


def test_uneven_prompts_are_judged_at_the_smallest():
    group = np.repeat([3, 5, 8], [2, 4, 7])
    golden = np.random.default_rng(0).normal(size=13)
    r = Responses(group.astype(str), group.astype(str), golden, group)
    row = judge_one(judged("h", r, golden), HOW, 0)
    assert row["largest_n"] == 2 and row["n_prompts"] == 3 and row["accuracy"] == 1


def test_an_arm_of_some_rows_is_judged_as_if_there_were_no_others():
    r = responses()
    rows = np.flatnonzero(r.group % 2 == 0)
    noise = np.random.default_rng(1).normal(size=len(r))
    arm, lengths = ScoredArm("h", "head", r.golden + noise, r.golden - noise, 2.0), np.arange(len(r)) % 5 + 1
    among = judge(JudgedSplit.of("test", r, rows, lengths), arm.take(rows), seed=0)
    part = r.take(rows)
    every = np.arange(len(rows))
    alone = ScoredArm("h", "head", (r.golden + noise)[rows], (r.golden - noise)[rows], 2.0)
    expected = judge(JudgedSplit.of("test", part, every, lengths[rows]), alone, seed=0)
    assert judge_one(among, HOW, 0) == judge_one(expected, HOW, 0)


def test_calibration_draws_from_all_pairs_where_there_are_many(monkeypatch):
    r = responses(30, 20)
    raw = r.golden + np.random.default_rng(1).normal(size=len(r))
    every = judged("h", r, raw, raw)
    assert len(every.odds.margin) == 30 * 190
    monkeypatch.setattr("rmlab.evaluation.measure.MAX_PAIRS", 3000)
    few = judged("h", responses(30, 20), raw, raw)
    assert len(few.odds.margin) == 3000
    assert few.odds.numbers() == pytest.approx(every.odds.numbers(), abs=0.03)


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
    assert value(metric_rows([judged("h", r, raw, raw)], HOW, 0), "h", "ece_golden") < 0.03
    wrong = metric_rows([judged("h", r, raw, -raw)], HOW, 0)
    assert value(wrong, "h", "ece_golden") > 0.2


def test_length_correlation_is_with_the_length():
    r = responses()
    lengths = np.arange(len(r)) % 5 + 1.0
    rows = metric_rows([judged("long", r, lengths), judged("short", r, -lengths)], HOW, 0)
    assert value(rows, "long", "length_spearman") == pytest.approx(1)
    assert value(rows, "short", "length_spearman") == pytest.approx(-1)


def test_overlap_counts_words_that_the_prompt_had():
    assert prompt_overlap("The red fox", "a Red, red dog") == 0.5
    assert prompt_overlap("x", "") == 0


def test_apart_from_length_a_head_that_likes_length_is_worth_nothing():
    r = responses()
    lengths = np.random.default_rng(5).integers(3, 30, len(r)).astype(float)
    r = Responses(r.ids, r.prompt_ids, r.golden + lengths / 5, r.group)
    arms = [judged(a, r, s, lengths=lengths) for a, s in (("long", lengths), ("golden", r.golden))]
    rows = metric_rows(arms, HOW, 0)
    assert value(rows, "long", "accuracy") > 0.7
    assert value(rows, "long", "length_controlled_accuracy") == pytest.approx(0.5)
    assert value(rows, "long", "partial_spearman") == 0
    assert value(rows, "golden", "length_controlled_accuracy") == pytest.approx(1)
    assert value(rows, "golden", "partial_spearman") == pytest.approx(1)


def test_abstention_is_calibrated_on_validation_prompts_and_judged_on_test_prompts():
    every = []
    for split, seed in (("validation", 1), ("test", 2)):
        r = responses(200, 6, seed)
        raw = r.golden + np.random.default_rng(seed + 5).normal(size=len(r))
        lengths = np.ones(len(r))
        of_split = {"lengths": lengths, "split": split}
        every.append(judged("head", r, raw, raw, **of_split))
        every.append(judged("oracle", r, r.golden, r.golden, **of_split))
        every.append(judged("length", r, lengths, kind="control", **of_split))
    rows = conformal_rows(every, HOW, 0)
    assert len(rows) == 2 * 2 * 3 and {row["split"] for row in rows} == {"test"}
    for level in (80, 90):
        assert value(rows, "head", f"conformal_coverage_{level}") == pytest.approx(level / 100, abs=0.03)
        assert value(rows, "oracle", f"conformal_decided_{level}") == pytest.approx(1)
        assert value(rows, "oracle", f"conformal_accuracy_{level}") == pytest.approx(1)
    decided = [value(rows, "head", f"conformal_decided_{level}") for level in (80, 90)]
    right = [value(rows, "head", f"conformal_accuracy_{level}") for level in (80, 90)]
    assert 1 > decided[0] > decided[1] > 0
    assert right[1] > right[0] > value(metric_rows(every, HOW, 0), "head", "accuracy")
    assert conformal_rows(every[3:], HOW, 0) == []


def test_one_prompt_has_values_and_no_interval():
    r = responses(1)
    arms = [judged("a", r, r.golden, r.golden), judged("b", r, -r.golden, -r.golden)]
    for row in (*metric_rows(arms, HOW, 0), *curve_rows(arms, HOW, 0), *paired_rows(arms, HOW, 0)):
        assert np.isnan([row["low"], row["high"]]).all()
    assert value(metric_rows(arms, HOW, 0), "a", "spearman") == pytest.approx(1)
    best = {"value": 1.0, "low": None, "high": None, "n": 6, "n_prompts": 1}
    summary = {"chosen": "a", "chosen_by": "x", "best_of_n": dict.fromkeys(("a", "random", "oracle"), best)}
    [sentence] = verdict(summary | {"chosen_minus": {"random": best}})
    assert "1.000 (no interval: that needs 2 prompts)" in sentence
