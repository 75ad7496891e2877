"""Planted effects give the planted verdicts; what cannot be judged says why."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from study_synthetic import DEVIATION, MEAN, claim, finding, sweep

from rmlab.study.cells import Member
from rmlab.study.content import Part
from rmlab.study.controls import control_means
from rmlab.study.finding import Claim
from rmlab.study.judge import contrast, judge, means
from rmlab.study.values import CellValues


def verdicts(values: CellValues, members, *claims: dict) -> list[str]:
    planted = finding(list(claims))
    return [j.verdict for j in judge({"planted": members}, [planted], values)]


def test_planted_effects_give_the_planted_verdicts():
    values, members = sweep({"a": 0.5, "b": 0.2, "c": 0.5})
    opposite = claim(plus=[{"arm": "b"}], minus=[{"arm": "a"}])
    nothing = claim(minus=[{"arm": "c"}])
    no_worse = nothing | {"kind": "not_less"}
    assert verdicts(values, members, claim(), opposite, nothing, no_worse) == [
        "supported", "not supported", "not supported", "supported",
    ]  # fmt: skip


def test_too_little_data_leaves_it_undecided_and_says_what_it_could_have_shown():
    values, members = sweep({"a": 0.3, "b": 0.0}, n_prompts=12, noise=1.5)
    [found] = judge({"planted": members}, [finding([claim()])], values)
    assert found.verdict == "undecided" and not found.survives
    assert found.effect.detectable > 0.3 > found.claim.smallest


def test_effects_are_in_deviations_of_the_golden_reward():
    values, members = sweep({"a": 0.5, "b": 0.2}, noise=0.0)
    differences = contrast(Claim.model_validate(claim()), members, values)
    assert differences.shape == (5, 200)
    np.testing.assert_allclose(differences, 0.3, atol=1e-5)
    gap = Claim.model_validate(claim(metric="overestimate", minus=[]))
    planted = values.of("a-0", "best_of_largest")
    expected = DEVIATION * planted + MEAN - planted  # the made-up proxy is the golden reward in its own unit
    np.testing.assert_allclose(contrast(gap, members, values)[0], expected, rtol=1e-4)


def test_a_difference_of_differences():
    values, members = sweep({"a": 0.5, "b": 0.2, "c": 0.4}, noise=0.0)
    both = claim(plus=[{"arm": "a"}, {"arm": "b"}], minus=[{"arm": "c"}, {"arm": "b"}])
    np.testing.assert_allclose(contrast(Claim.model_validate(both), members, values), 0.1, atol=1e-5)
    pooled = claim(plus=[{"arm": ["a", "b"]}], minus=[{"arm": "c"}])
    np.testing.assert_allclose(contrast(Claim.model_validate(pooled), members, values), -0.05, atol=1e-5)


def test_a_slope_is_that_of_least_squares():
    planted, margins = {"a": 0.1, "b": 0.5, "c": 0.4}, {"a": 0.2, "b": 1.1, "c": 0.7}
    values, members = sweep(planted, noise=0.0, margins=margins)
    slope = {"statement": "grows", "slope": [{"arm": x} for x in "abc"], "by": "mean_margin", "smallest": 0.1}
    expected = np.polyfit(list(margins.values()), list(planted.values()), 1)[0]
    np.testing.assert_allclose(contrast(Claim.model_validate(slope), members, values), expected, atol=1e-4)
    flat, members = sweep(planted)
    [found] = judge({"planted": members}, [finding([slope])], flat)
    assert found.verdict == "not run" and "there is no slope" in found.reason


def test_seeds_are_paired_and_those_of_one_side_left_out():
    values, members = sweep({"a": 0.5, "b": 0.2})
    without = [m for m in members if m.cell != "b-3"]
    assert contrast(Claim.model_validate(claim()), without, values).shape == (4, 200)
    shifted = np.array(
        [values.of(f"a-{s}", "best_of_largest") - values.of(f"b-{s}", "best_of_largest") for s in range(5)]
    )
    np.testing.assert_allclose(contrast(Claim.model_validate(claim()), members, values), shifted)


def test_cells_that_failed_leave_their_claims_not_run_with_the_reason():
    values, members = sweep({"a": 0.5, "b": 0.2, "c": 0.1}, failed=("c",))
    found = judge({"planted": members}, [finding([claim(), claim(minus=[{"arm": "c"}])])], values)
    assert [j.verdict for j in found] == ["supported", "not run"]
    assert found[1].reason == "no <b>trees</b> here" and found[1].effect is None


def test_prompts_without_a_golden_order_are_left_out():
    values, members = sweep({"a": 0.5, "b": 0.2})
    prompts = values.prompts.copy()
    prompts.loc[prompts["prompt_id"] == "p0003", ["spearman", "accuracy"]] = np.nan
    found = CellValues(values.results, prompts)
    np.testing.assert_array_equal(np.isnan(found.of("b-2", "spearman")), np.arange(200) == 3)
    spearman = Claim.model_validate(claim(metric="spearman"))
    assert contrast(spearman, members, found).shape == (5, 199)


def test_an_order_of_rows_changes_nothing():
    values, members = sweep({"a": 0.5, "b": 0.2})
    shuffled = CellValues(
        values.results.sample(frac=1, random_state=0), values.prompts.sample(frac=1, random_state=1)
    )
    one, other = (
        judge({"planted": members[::k]}, [finding([claim()])], v) for k, v in ((1, values), (-1, shuffled))
    )
    assert one[0].effect == other[0].effect


def test_means_have_every_place_and_controls_stand_beside_them():
    values, members = sweep({"a": 0.5, "b": 0.2, "c": 0.0}, failed=("c",))
    found = means(members, values, ["best_of_largest"])
    assert [dict(m.axes) for m in found] == [{"arm": "a"}, {"arm": "b"}]
    assert found[0].effect.n_seeds == 5 and found[0].effect.low < found[0].effect.value < found[0].effect.high
    controls = control_means(values, members, ["best_of_largest", "proxy_of_4"])
    assert set(controls) == {"random", "oracle"} and [m.metric for m in controls["oracle"]] == [
        "best_of_largest"
    ]
    gap = controls["oracle"][0].effect.value - controls["random"][0].effect.value
    assert gap == pytest.approx(1.0, abs=1e-5)


def two_policies() -> tuple[CellValues, list[Member]]:
    """The same arms on two data, of the same prompts; the second's golden scores are all twice as far apart."""
    results, prompts, members = [], [], []
    for policy, data in (("base", "x"), ("tuned", "y")):
        values, those = sweep({"a": 0.5, "b": 0.2}, seed=len(members))
        rows, tables = values.results.copy(), values.prompts.copy()
        for table in (rows, tables):
            table["cell"] = [c.removesuffix("-x") + f"-{data}" for c in table["cell"]]
        rows["test_golden_deviation"] *= 1 + (data == "y")
        results.append(rows)
        prompts.append(tables)
        axes = {m.cell: {**m.axes, "set.policy": policy} for m in those}
        members += [Member(axes[m.cell], f"{m.cell}-{data}", data) for m in those]
    return CellValues(pd.concat(results), pd.concat(prompts)), members


def test_controls_are_those_of_each_data_of_a_finding():
    values, members = two_policies()
    controls = control_means(values, members, ["best_of_largest"])
    assert set(controls) == {"random · base", "oracle · base", "random · tuned", "oracle · tuned"}
    gaps = [
        controls[f"oracle · {p}"][0].effect.value - controls[f"random · {p}"][0].effect.value
        for p in ("base", "tuned")
    ]
    assert gaps == pytest.approx([1.0, 0.5], abs=1e-5)
    assert values.deviations == [DEVIATION, 2 * DEVIATION]
    part = Part(finding([claim()]), [], [], controls)
    mean = np.mean([controls[f"oracle · {p}"][0].effect.value for p in ("base", "tuned")])
    assert part.control("oracle", "best_of_largest") == pytest.approx(mean)
    tuned = control_means(values, [m for m in members if m.data == "y"], ["best_of_largest"])
    assert set(tuned) == {"random", "oracle"}
    unnamed = [Member({"arm": "a", "seed": m.axes["seed"]}, m.cell, m.data) for m in members]
    assert "random · x" in control_means(values, unnamed, ["best_of_largest"])


def test_flagged_outliers_are_means_over_seeds():
    values, members = sweep({"a": 0.5, "b": 0.2})
    [row] = values.flagged(members)
    assert row["place"] == "a" and row["flagged_precision"] == 0.5 and row["n_flagged"] == 10
