"""The files of findings: the shipped ones are whole, a wrong one is one line, a grid has the cells it says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from study_synthetic import claim, finding

from rmlab.config.hydra import load_settings
from rmlab.errors import ConfigError
from rmlab.study.finding import load_findings
from rmlab.study.plan import Planner

SMALL = ("experiment=smoke",)
SET = "shipped:released/openings-smollm2"
ON_SET = ("experiment=embedding_set", f"input={SET}", "seed=0,1")
PAIR = ("set.policy=base,sft", "set.reward=sentiment", "set.embedder=minilm")


@pytest.fixture(scope="module")
def on_set():
    """Composes once what the tests below share."""
    return Planner.of(ON_SET)


@pytest.fixture(scope="module")
def on_two_setups():
    """Each shipped finding with its plan on two set-ups."""
    planner = Planner.of([*ON_SET[:-1], "seed=3", *PAIR])
    return [(finding_, planner.plan(finding_)) for finding_ in load_findings()]


def test_shipped_findings_are_read_in_order_and_each_plans_its_cells(on_two_setups):
    findings = [finding_ for finding_, _ in on_two_setups]
    assert [f.name for f in findings] == [
        "best_of_n", "noise", "quantity", "pairing", "ensembles", "robust", "lists", "active", "overoptimisation",
        "weak_to_strong",
    ]  # fmt: skip
    statements = [(f.name, c.statement) for f in findings for c in f.claims]
    assert len(set(statements)) == len(statements)
    n_cells = {f.name: len(plan.points) for f, plan in on_two_setups}
    assert all(n % 2 == 0 for n in n_cells.values()) and n_cells["noise"] == 3 * 5 * 2
    assert n_cells["robust"] == 4 * 4 * 2
    [active] = [f for f in findings if f.name == "active"]
    rules = [c.minus[0]["arm"][0] for c in active.claims if c.plus[0]["arm"] == ["past-aware D-optimal"]]
    assert rules == ["random", "entropy", "maximal difference", "core set"]
    gaps = [c for f in findings for c in f.claims if c.metric == "overestimate" and c.minus]
    assert [(g.plus[0]["arm"], g.minus[0]["arm"]) for g in gaps] == [(["one head"], ["least of five"])]
    assert [f.name for f in findings if f.setups == "all"] == ["best_of_n"]


@pytest.mark.slow
def test_settings_of_every_shipped_arm_are_what_hydra_composes_for_them(on_two_setups):
    """On the second set-up, which takes over what was composed for the first."""
    for finding_, plan in on_two_setups:
        last = {axes["arm"]: point for axes, point in zip(plan.axes, plan.points, strict=True)}
        assert set(last) == set(finding_.arms)
        for point in last.values():
            assert point.settings.set.policy == "sft"
            assert point.settings == load_settings(point.overrides), point.overrides


def test_behind_the_claims_of_the_study_are_the_study_s_networks_alone():
    findings = [f for f in load_findings() if any(c.in_study for c in f.claims)]
    assert {f.name for f in findings} == {"best_of_n", "noise", "quantity", "pairing"}
    for finding_ in findings:
        for claim_ in (c for c in finding_.claims if c.in_study):
            named = {arm for where in claim_.wheres for arm in where.get("arm", finding_.arms)}
            heads = {text.split()[0] for name, text in finding_.arms.items() if name in named}
            assert heads <= {"head=mlp_study", "head=trees"}, (finding_.name, claim_.statement)


def test_transfer_is_run_on_request_and_judged_on_the_policy_that_it_is_tested_on(on_set):
    [transfer] = load_findings(["transfer"])
    assert transfer.on_request and transfer.name not in [f.name for f in load_findings()]
    plan = on_set.plan(transfer)
    assert {setup.policy for setup in plan.setups} == {"sft"}
    policies = {(p.settings.set.policy, p.settings.set.test_policy) for p in plan.points}
    assert policies == {("base", "sft"), ("sft", "sft")}


def one_finding(**more):
    return finding([claim()], arms={"a": "head=linear", "b": "head=mlp"}, **more)


def test_a_finding_for_all_set_ups_is_run_on_every_one_of_the_set(on_set):
    plan = on_set.plan(one_finding(setups="all"))
    assert len(plan.points) == 2 * 2 * 8 and len({s.name for s in plan.setups}) == 8
    assert plan.setups[0].name == "base · sentiment · smollm2"
    first, last = plan.points[0].settings, plan.points[-1].settings
    assert first.golden["file"]["reward"] == "sentiment" and first.model == "base"
    assert last.model == plan.setups[-1].policy == "sft"
    assert all(set(axes) == {"arm", "seed"} for axes in plan.axes)  # claims are over set-ups, not at one
    assert set(plan.points[0].axes) >= {"set.policy", "set.reward", "set.embedder", "seed"}


def test_other_findings_are_run_on_the_first_unless_all_are_asked_for(on_set):
    made = one_finding()
    plan = on_set.plan(made)
    assert len(plan.points) == 4 and {s.name for s in plan.setups} == {"base · sentiment · smollm2"}
    assert len(replace(on_set, all_setups=True).plan(made).points) == 4 * 8


def test_what_the_command_says_of_set_ups_holds():
    plan = Planner.of([*ON_SET, "set.policy=sft", "set.embedder=minilm,smollm2"]).plan(
        one_finding(setups="all")
    )
    assert {(s.policy, s.embedder) for s in plan.setups} == {("sft", "minilm"), ("sft", "smollm2")}
    assert len({s.reward for s in plan.setups}) == 2
    swept = Planner.of([*ON_SET, "set.policy=base,sft"]).plan(one_finding())
    assert len({s.name for s in swept.setups}) == 2


def test_other_data_has_one_set_up():
    plan = Planner.of(SMALL, all_setups=True).plan(one_finding(setups="all"))
    assert len({s.name for s in plan.setups}) == 1 and len(plan.points) == 2 * 5
    settings = plan.points[0].settings
    assert (plan.setups[0].policy, plan.setups[0].reward) == (settings.model, settings.labelling)


def test_arms_conditions_grid_and_seeds_make_the_cells():
    made = finding(
        [claim(plus=[{"arm": "x", "condition": "calm"}], minus=[{"arm": "y", "condition": "calm"}])],
        arms={"x": "head=linear loss=bradley_terry", "y": "head=mlp"},
        conditions={"calm": "noise.error=0.0", "loud": "noise.error=0.3"},
        grid=["centring=0.0,0.1"],
        fixed=["comparisons.n=77"],
    )
    plan = Planner.of([*SMALL, "seed=3,4", "head=trees", "loss=classification", "comparisons.n=5"]).plan(made)
    assert len(plan.points) == 2 * 2 * 2 * 2
    assert plan.axes[0] == {"arm": "x", "condition": "calm", "seed": "3", "centring": "0.0"}
    assert plan.axes[-1] == {"arm": "y", "condition": "loud", "seed": "4", "centring": "0.1"}
    first, last = plan.points[0].settings, plan.points[-1].settings
    assert first.head["_target_"].endswith("Linear") and last.head["_target_"].endswith("Mlp")
    assert last.loss["_target_"].endswith("Classification") and last.noise["error"] == 0.3
    assert {p.settings.comparisons.n for p in plan.points} == {77} and last.seed == 4


def test_what_a_finding_fixes_wins_over_axes_of_the_command_line():
    made = finding([claim()], fixed=["noise.error=0.3"])
    plan = Planner.of([*SMALL, "seed=0,1", "noise.error=0.1,0.2", "centring=0.0,0.1"]).plan(made)
    assert {p.settings.noise["error"] for p in plan.points} == {0.3} and len(plan.points) == 3 * 2 * 2
    assert plan.axes[0] == {"arm": "a", "seed": "0", "centring": "0.0"}


def test_a_claim_on_no_cell_is_found_before_anything_runs():
    wrong = finding([claim(plus=[{"arm": "a", "noise.error": 0.2}])], grid=["noise.error=0.1,0.3"])
    with pytest.raises(
        ConfigError, match=r"finding planted: no cell of its grid is at arm=a noise.error=0.2"
    ):
        Planner.of(SMALL).plan(wrong)


def test_a_line_along_no_axis_is_found_before_anything_runs():
    with pytest.raises(ConfigError, match=r"finding planted: its grid has no axis noise.error"):
        Planner.of(SMALL).plan(finding([claim(along="noise.error")]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"claims": []}, "claims: List should have at least 1 item"),
        ({"claims": [claim(smallest=0)]}, "claims.0.smallest: Input should be greater than 0"),
        ({"claims": [claim(minus=[])]}, "claims.0: give as many `plus` as `minus`"),
        ({"claims": [claim(height_at=0.1)]}, "claims.0: `height_at` is a value of the axis `along`"),
        ({"claims": [claim(plus_of=[{"arm": "a"}])]}, "claims.0: shares need one place each"),
        ({"claims": [claim(by="mean_margin")]}, "claims.0: `slope` needs 3 places"),
        ({"setups": "some"}, "setups: Input should be 'all' or 'one'"),
        ({"claims": [claim(metric="luck")]}, "claims.0.metric: Input should be"),
        ({"claims": [claim(plus=[{"arm": "z"}])]}, "there is no arm z; give one of: a, b"),
        ({"clams": 1}, "clams: Extra inputs are not permitted"),
        ("- a list", "it is not a mapping"),
        ("a: [", "while parsing"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_it(tmp_path, change, message):
    words = {"title": "T", "question": "Q", "claim": "C", "source": "S"}
    good = {**words, "arms": {"a": "head=linear", "b": "head=mlp"}, "claims": [claim()]}
    text = change if isinstance(change, str) else yaml.safe_dump(good | change)
    file = _file(tmp_path, text)
    with pytest.raises(ConfigError) as error:
        load_findings(["mine"], tmp_path)
    assert str(error.value).startswith(f"{file}: ") and message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_finding_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(
        ConfigError, match="no finding is called nosie; there is: active, best_of_n, ensembles"
    ):
        load_findings(["nosie"])


def _file(folder: Path, text: str) -> Path:
    (folder / "study").mkdir()
    file = folder / "study" / "mine.yaml"
    file.write_text(text)
    return file
