"""Planted effects give the planted verdicts; what cannot be judged says why."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from study_synthetic import DEVIATION, INTERCEPT, MEAN, SLOPE, claim, finding, sweep

from rmlab.stages.study import control_means
from rmlab.study.claims import contrast, counts, judge_claims, means
from rmlab.study.finding import Claim
from rmlab.study.plan import Member
from rmlab.study.report_content import Part
from rmlab.study.values import CellValues


def verdicts(values: CellValues, members, *claims: dict) -> list[str]:
    planted = finding(list(claims))
    return [j.verdict for j in judge_claims({"planted": members}, [planted], values)]


def test_planted_effects_give_the_planted_verdicts():
    values, members = sweep({"a": 0.5, "b": 0.2, "c": 0.5})
    opposite = claim(plus=[{"arm": "b"}], minus=[{"arm": "a"}])
    nothing = claim(minus=[{"arm": "c"}])
    no_worse = nothing | {"kind": "not_less"}
    assert verdicts(values, members, claim(), opposite, nothing, no_worse) == [
        "supported", "contradicted", "negligible", "supported",
    ]  # fmt: skip


def test_too_little_data_leaves_it_undecided_and_says_what_it_could_have_shown():
    values, members = sweep({"a": 0.3, "b": 0.0}, n_prompts=12, noise=1.5)
    [found] = judge_claims({"planted": members}, [finding([claim()])], values)
    assert found.verdict == "undecided" and not found.survives
    assert found.effect.detectable > 0.3 > found.claim.smallest


def test_effects_are_in_deviations_of_the_golden_reward():
    values, members = sweep({"a": 0.5, "b": 0.2}, noise=0.0)
    differences = contrast(Claim.model_validate(claim()), members, values)
    assert differences.shape == (1, 5, 200)
    np.testing.assert_allclose(differences, 0.3, atol=1e-5)
    gap = Claim.model_validate(claim(metric="overestimate", minus=[]))
    planted = values.of("a-0-x0", "best_of_largest")
    proxy = DEVIATION * planted + MEAN  # the made-up proxy is the golden reward in its own unit
    expected = (INTERCEPT + SLOPE * proxy - MEAN) / DEVIATION - planted
    np.testing.assert_allclose(contrast(gap, members, values)[0, 0], expected, atol=1e-5)


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
    [found] = judge_claims({"planted": members}, [finding([slope])], flat)
    assert found.verdict == "not run" and "there is no slope" in found.reason


def test_seeds_are_paired_and_those_of_one_side_left_out():
    values, members = sweep({"a": 0.5, "b": 0.2})
    without = [m for m in members if m.cell != "b-3-x0"]
    assert contrast(Claim.model_validate(claim()), without, values).shape == (1, 4, 200)
    shifted = np.array(
        [
            values.of(f"a-{s}-x0", "best_of_largest") - values.of(f"b-{s}-x0", "best_of_largest")
            for s in range(5)
        ]
    )
    np.testing.assert_allclose(contrast(Claim.model_validate(claim()), members, values)[0], shifted)


def test_cells_that_failed_leave_their_claims_not_run_with_the_reason():
    values, members = sweep({"a": 0.5, "b": 0.2, "c": 0.1}, failed=("c",))
    found = judge_claims({"planted": members}, [finding([claim(), claim(minus=[{"arm": "c"}])])], values)
    assert [j.verdict for j in found] == ["supported", "not run"]
    assert found[1].reason == "no <b>trees</b> here" and found[1].effect is None


def test_prompts_without_a_golden_order_are_left_out():
    values, members = sweep({"a": 0.5, "b": 0.2})
    prompts = values.prompts.copy()
    prompts.loc[prompts["prompt_id"] == "p0003", ["spearman", "accuracy"]] = np.nan
    found = CellValues(values.results, prompts)
    np.testing.assert_array_equal(np.isnan(found.of("b-2-x0", "spearman")), np.arange(200) == 3)
    spearman = Claim.model_validate(claim(metric="spearman"))
    assert contrast(spearman, members, found).shape == (1, 5, 199)


def test_an_order_of_rows_changes_nothing():
    values, members = sweep({"a": 0.5, "b": 0.2})
    shuffled = CellValues(
        values.results.sample(frac=1, random_state=0), values.prompts.sample(frac=1, random_state=1)
    )
    one, other = (
        judge_claims({"planted": members[::k]}, [finding([claim()])], v)
        for k, v in ((1, values), (-1, shuffled))
    )
    assert one[0].effect == other[0].effect


def test_means_have_every_place_and_controls_stand_beside_them():
    values, members = sweep({"a": 0.5, "b": 0.2, "c": 0.0}, failed=("c",))
    found = means(members, values, ["best_of_largest"])
    assert [dict(m.axes) for m in found] == [{"arm": "a"}, {"arm": "b"}]
    assert found[0].effect.n_seeds == 5 and found[0].effect.low < found[0].effect.value < found[0].effect.high
    controls = control_means(values, members, ["best_of_largest", "expected_of_4"])
    assert set(controls) == {"random", "oracle"} and [m.metric for m in controls["oracle"]] == [
        "best_of_largest"
    ]
    gap = controls["oracle"][0].effect.value - controls["random"][0].effect.value
    assert gap == pytest.approx(1.0, abs=1e-5)


SETUPS = {"base · kind · small": 1.0, "tuned · kind · small": 0.8, "base · rude · small": -0.5}


def test_a_claim_over_set_ups_is_pooled_and_shown_on_each_in_its_own_deviations():
    values, members = sweep({"a": 0.5, "b": 0.2}, setups=SETUPS, noise=0.0)
    [found] = judge_claims({"planted": members}, [finding([claim()])], values)
    assert found.effect.value == pytest.approx(0.3 * (1.0 + 0.8 - 0.5) / 3, abs=1e-5)
    assert found.effect.n_setups == 3 and found.setup == "3 set-ups" and found.n_in_favour == 2
    own = {setup: e.value for setup, e in found.by_setup.items()}
    assert own == pytest.approx({setup: 0.3 * factor for setup, factor in SETUPS.items()}, abs=1e-5)
    assert found.verdict == "undecided"  # three set-ups that disagree say little of others
    assert all(e.high - e.low < 1e-5 for e in found.by_setup.values())
    [alone] = judge_claims({"planted": members[:10]}, [finding([claim()])], values)
    assert alone.by_setup == {} and alone.setup == "base · kind · small" and alone.verdict == "supported"


def test_a_set_up_that_failed_leaves_the_claim_not_run():
    values, members = sweep({"a": 0.5, "b": 0.2}, setups=SETUPS)
    one_less = [m for m in members if not (m.setup.startswith("tuned") and m.axes["arm"] == "b")]
    [found] = judge_claims({"planted": one_less}, [finding([claim()])], values)
    assert found.reason == "no seed is on both sides on all set-ups"
    prompts = values.prompts[values.prompts["cell"] != "b-4-x1"]
    [failed] = judge_claims({"planted": members}, [finding([claim()])], CellValues(values.results, prompts))
    assert failed.verdict == "not run" and failed.reason == "the cell was not run"


def test_controls_are_pooled_over_the_data_of_a_finding():
    values, members = sweep({"a": 0.5, "b": 0.2}, setups=SETUPS)
    controls = control_means(values, members, ["best_of_largest"])
    assert set(controls) == {"random", "oracle"} and controls["oracle"][0].effect.n_setups == 3
    part = Part(finding([claim()]), [], [], controls)
    gap = part.control("oracle", "best_of_largest") - part.control("random", "best_of_largest")
    assert gap == pytest.approx(1.0, abs=1e-5) and part.control("length", "best_of_largest") is None
    assert values.deviations == [DEVIATION, 2 * DEVIATION, 3 * DEVIATION]


def test_answers_of_a_coin_are_no_row_in_a_claim():
    values, members = sweep({"a": 0.5, "b": 0.2, "c": 0.0}, errors={"c": 0.493})
    found = judge_claims({"planted": members}, [finding([claim(), claim(minus=[{"arm": "c"}])])], values)
    assert [j.verdict for j in found] == ["supported", "not run"]
    assert found[1].reason == "49% of the answers at c are wrong, hardly better than a coin's"
    marked = {m.axes["arm"]: m.is_coin for m in means(members, values, ["best_of_largest"])}
    assert marked == {"a": False, "b": False, "c": True}


ERRORS = ("0.05", "0.2", "0.38")


def curves(of: dict[str, float], slopes: dict[str, float]) -> tuple[CellValues, list[Member]]:
    """Arms along an axis of errors: level at no errors, and what each unit of errors adds."""
    arms = {f"{arm} {e}": level + slopes[arm] * float(e) for arm, level in of.items() for e in ERRORS}
    values, members = sweep(arms, noise=0.01)
    split = [m.axes["arm"].split() for m in members]
    axes = [
        {**m.axes, "arm": arm, "noise.error": error} for m, (arm, error) in zip(members, split, strict=True)
    ]
    return values, [replace(m, axes=a) for m, a in zip(members, axes, strict=True)]


def test_along_an_axis_the_effect_is_the_slope_of_the_difference_or_its_height():
    values, members = curves({"a": 0.5, "b": 0.8}, {"a": -0.5, "b": -2.5})
    slope = claim("slope", along="noise.error")
    height = claim("height", along="noise.error", height_at=0.25)
    found = judge_claims({"planted": members}, [finding([slope, height])], values)
    assert found[0].effect.value == pytest.approx(2.0, abs=0.2) and found[0].verdict == "supported"
    assert found[1].effect.value == pytest.approx(-0.3 + 2.0 * 0.25, abs=0.04)
    crosses = found[0].crossing
    assert crosses.value == pytest.approx(0.15, abs=0.03) and crosses.low < crosses.value < crosses.high
    few = [m for m in members if m.axes["noise.error"] != "0.2"]
    [short] = judge_claims({"planted": few}, [finding([slope])], values)
    assert short.reason == "a line along noise.error needs 3 values of it; there are 2"


def share(**more) -> dict:
    places = {
        f"{side}{of}": [{"arm": arm, "noise.error": error}]
        for side, arm in (("plus", "a"), ("minus", "b"))
        for of, error in (("", "0.38"), ("_of", "0.05"))
    }
    return claim("keeps", **(places | more))


def test_a_share_is_a_ratio_of_means_that_forgives_a_lower_start():
    values, members = curves({"a": 1.05, "b": 0.525}, {"a": -1.0, "b": -0.5})
    common = values.of("a 0.05-0-x0", "best_of_largest").mean() - 1.0
    a, b = (np.array([1.05, 0.525]) - np.array([1.0, 0.5]) * e for e in (0.38, 0.05))
    expected = (a[0] + common) / (b[0] + common) - (a[1] + common) / (b[1] + common)
    [found] = judge_claims({"planted": members}, [finding([share()])], values)
    assert found.effect.value == pytest.approx(expected, abs=0.05)
    loses = claim(
        plus=[{"arm": "a", "noise.error": 0.38}, {"arm": "b", "noise.error": 0.05}],
        minus=[{"arm": "a", "noise.error": 0.05}, {"arm": "b", "noise.error": 0.38}],
    )
    [absolute] = judge_claims({"planted": members}, [finding([loses])], values)
    assert absolute.effect.value == pytest.approx(-0.165, abs=0.05)


def test_a_head_near_a_random_choice_has_no_share_to_keep():
    values, members = curves({"a": 1.0, "b": 0.0}, {"a": -1.0, "b": 0.0})
    [found] = judge_claims({"planted": members}, [finding([share()])], values)
    assert found.verdict == "not run"
    assert found.reason == "b 0.05 gains too little over a random choice to speak of a share of it"


def linear_gaussian(correlation: float) -> tuple[CellValues, list[Member]]:
    """A score that agrees with golden (deviation 1, mean 0) to this correlation: exact best of N."""
    ns = {"4": 1.0294, "16": 1.7660, "64": 2.3436, "largest": 2.5076}  # E max of N normal draws; 100
    values, members = sweep({"a": 0.0}, n_seeds=1, n_prompts=3)
    results, prompts = values.results.copy(), values.prompts.copy()
    results = results.assign(
        test_golden_mean=0.0, test_golden_deviation=1.0, test_largest_n=100.0,
        proxy_slope=correlation, proxy_intercept=0.0,
    )  # fmt: skip
    for n, top in ns.items():
        prompts[f"best_of_{n}"], prompts[f"proxy_of_{n}"] = correlation * top, top
    return CellValues(results, prompts), members


def test_a_noisy_score_in_golden_units_expects_what_it_gets():
    values, members = linear_gaussian(0.6)
    cell = members[0].cell
    np.testing.assert_allclose(values.of(cell, "overestimate"), 0.0, atol=1e-9)
    raw = CellValues(values.results.assign(proxy_slope=1.0), values.prompts)
    np.testing.assert_allclose(raw.of(cell, "overestimate"), 2.51 * 0.4, atol=2e-3)


def test_the_curve_of_a_noisy_score_hardly_bends():
    """A little under 0, since the best of N normal draws outgrows the root of KL."""
    values, members = linear_gaussian(0.6)
    n = np.array([4, 16, 64, 100])
    d = np.sqrt(np.log(n) - (n - 1) / n)
    gain = 0.6 * np.array([1.0294, 1.7660, 2.3436, 2.5076])
    expected, *_ = np.linalg.lstsq(np.column_stack([d, -(d**2)]), gain, rcond=None)
    cell = members[0].cell
    np.testing.assert_allclose(values.of(cell, "gao_alpha"), expected[0])
    np.testing.assert_allclose(values.of(cell, "gao_beta"), expected[1])
    assert -0.03 * 0.6 < expected[1] < 0
    bent = values.prompts.copy()
    for name, x in zip(("4", "16", "64", "largest"), d, strict=True):
        bent[f"best_of_{name}"] = x * (1.3 - 0.4 * x)
    found = CellValues(values.results, bent)
    np.testing.assert_allclose(found.of(cell, "gao_beta"), 0.4)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"n_prompts": 1}, "best_of_largest is defined on 1 prompts, and an interval needs 2"),
        ({"drop": "proxy_slope"}, "the sweep kept no proxy_slope; run its cells again with --force"),
        ({"flat": True}, "the golden reward is the same for all test responses: it has no deviation"),
    ],
)
def test_what_cannot_be_judged_is_one_line(change, reason):
    values, members = sweep({"a": 0.5, "b": 0.2}, n_prompts=change.get("n_prompts", 20))
    results = values.results
    if change.get("flat"):
        results = results.assign(test_golden_deviation=0.0)
    results = results.drop(columns=[c for c in [change.get("drop")] if c])
    metric = "overestimate" if "drop" in change else "best_of_largest"
    [found] = judge_claims(
        {"planted": members}, [finding([claim(metric=metric)])], CellValues(results, values.prompts)
    )
    assert (found.verdict, found.reason) == ("not run", reason)


def test_one_seed_is_judged_over_prompts_alone():
    values, members = sweep({"a": 0.5, "b": 0.2}, n_seeds=1)
    [found] = judge_claims({"planted": members}, [finding([claim()])], values)
    assert found.verdict == "supported" and (found.effect.n_seeds, found.effect.df) == (1, 199)


def test_counts_are_those_after_the_correction():
    values, members = sweep({"a": 0.3, "b": 0.0, "c": -1.5}, n_prompts=20, noise=0.14)
    claims = [claim(f"claim {i}") for i in range(12)] + [claim("sure", minus=[{"arm": "c"}])]
    found = judge_claims({"planted": members}, [finding(claims)], values)
    alone = [j.verdict for j in found]
    assert alone.count("supported") == 13 and counts(found) == {"supported": 1, "undecided": 12}
    assert found[0].corrected == "undecided" and found[-1].corrected == "supported"


def test_flagged_outliers_are_means_over_seeds():
    values, members = sweep({"a": 0.5, "b": 0.2})
    [row] = values.flagged(members)
    assert row["place"] == "a" and row["flagged_precision"] == 0.5 and row["n_flagged"] == 10
