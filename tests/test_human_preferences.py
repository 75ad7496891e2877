"""From a file of human pairs to held-out accuracy and a report, by the command line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from human_pairs import SMALL_PAIRS, pair_rows, write_rows

from rmlab.pipeline.plan import load_arms, plan

TRIAL = os.environ.get("RMLAB_TRIAL_DATA")
needs_trial_data = pytest.mark.skipif(
    not TRIAL, reason="RMLAB_TRIAL_DATA names no folder with real preference data to try on"
)


@pytest.fixture
def args(tmp_path):
    file = write_rows(tmp_path / "pairs.jsonl", pair_rows())
    return [*SMALL_PAIRS, f"input={file}", f"out={tmp_path / 'out'}"]


def test_one_command_from_file_to_report(cli, args):
    result = cli("run", *args, "--json")
    assert result.code == 0, result.err
    accuracy = result.json["heldout_accuracy"]
    for arm in ("linear-bradley_terry", "mlp-classification", "logistic_regression", "length"):
        for found in (accuracy[arm], accuracy[arm]["cv"]):
            assert 0 <= found["low"] <= found["value"] <= found["high"] <= 1
    assert accuracy["linear-bradley_terry"]["cv"]["n_pairs"] == 85
    page = Path(result.json["report"]).read_text()
    assert 'id="heldout"' in page and 'id="curves"' not in page and "85 pairs of 29 prompt groups" in page
    again = cli("run", *args)
    assert again.code == 0 and "held-out accuracy: 85 pairs of" in again.out and "best of" not in again.out
    assert all(s["state"] == "done" for s in cli("status", *args, "--json").json["stages"])


def test_an_arm_more_refits_nothing_else(cli, args):
    assert cli("run", *args, "--json").code == 0
    arms = args[4].replace("]", ",'head=linear loss=classification']")
    stages = cli("run", *args, arms, "--dry-run", "--json").json["stages"]
    new = [(s["stage"], s["name"]) for s in stages if s["state"] == "planned"]
    assert new == [
        ("fit_rm", "linear-classification"),
        ("crossval", "linear-classification"),
        ("eval_rm", "human_preferences"),
        ("heldout", "human_preferences"),
        ("report", "human_preferences"),
    ]


def changed(args, *more):
    before = {n.fingerprint for n in plan(load_arms(args))}
    return sorted({n.stage for n in plan(load_arms([*args, *more])) if n.fingerprint not in before})


@pytest.mark.parametrize(
    ("override", "stages"),
    [
        ("crossval.seed=1", ["crossval", "heldout", "report"]),
        ("crossval.folds=4", ["crossval", "heldout", "report"]),
        ("evaluation.resamples=200", ["eval_rm", "heldout", "report"]),
        ("seed=1", ["crossval", "eval_rm", "fit_rm", "heldout", "report"]),
        ("evaluation.select_by=spearman", ["eval_rm", "report"]),
    ],
)
def test_a_setting_changes_what_depends_on_it(args, override, stages):
    assert changed(args, override) == stages


def test_without_folds_nothing_is_held_out(args):
    assert not {n.stage for n in plan(load_arms([*args, "crossval.folds=null"]))} & {"crossval", "heldout"}


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        (
            ["crossval.folds=31"],
            3,
            "31 folds need 31 groups of prompts and there are 30; lower crossval.folds",
        ),
        (["crossval.folds=1"], 2, "crossval.folds: Input should be greater than or equal to 2 (got 1)"),
        (
            ["arms=['head=linear','head=mlp crossval.seed=4']"],
            2,
            "changes crossval; all arms must be judged on the same",
        ),
        (["comparisons.rounds=2"], 2, "rounds of selection need a number to select; set comparisons.n"),
    ],
)
def test_what_cannot_be_done_is_one_line(cli, args, more, code, says):
    result = cli("run", *args, *more)
    assert result.code == code and says in result.line


def test_a_stage_that_the_settings_lack_says_how_to_get_it(cli, args):
    result = cli("heldout", *args, "crossval.folds=null")
    assert result.code == 3 and "no heldout stage (no crossval.folds; try crossval.folds=5)" in result.line


def test_pairs_that_are_all_ties_are_one_line(cli, tmp_path):
    rows = [row | {"score": 1} for row in pair_rows()]
    file = write_rows(tmp_path / "ties.jsonl", rows)
    result = cli("run", *SMALL_PAIRS, f"input={file}", f"out={tmp_path / 'out'}")
    assert result.code == 3 and "equal" in result.line


@needs_trial_data
def test_real_human_pairs_in_a_form_of_their_own(cli, tmp_path):
    """Hashed words instead of MiniLM: the test is of the plumbing, and of an accuracy above a coin."""
    file = Path(str(TRIAL)) / "hh_harmless_pairs.jsonl.gz"
    small = ("embedder=hashing", "arms=['head=linear loss=bradley_terry']", "evaluation.resamples=200")
    args = ("experiment=human_preferences", f"input={file}", f"out={tmp_path / 'out'}", *small)
    result = cli("run", *args, "--json")
    assert result.code == 0, result.err
    found = result.json["heldout_accuracy"]["linear-bradley_terry"]["cv"]
    stages = {s["stage"]: s for s in result.json["stages"]}
    assert 1500 < found["n_pairs"] + stages["heldout"]["counts"]["cv_ties"] <= 1632
    assert 0.5 < found["value"] < 0.75 and 0.03 < found["high"] - found["low"] < 0.09


@needs_trial_data
def test_many_answers_a_prompt_keep_best_of_n(cli, tmp_path):
    file = Path(str(TRIAL)) / "alpaca_gpt4_judged.parquet"
    small = ("embedder=hashing", "arms=['head=linear loss=bradley_terry']", "evaluation.resamples=50")
    args = ("experiment=human_preferences", f"input={file}", "golden.file.column=golden", *small)
    result = cli("run", *args, f"out={tmp_path / 'out'}", "comparisons.n=2000", "--json")
    assert result.code == 0, result.err
    found = result.json["heldout_accuracy"]["length"]["cv"]
    assert found["n_pairs"] > 20_000 and found["value"] > 0.5
    page = Path(result.json["report"]).read_text()
    assert 'id="heldout"' in page and 'id="curves"' in page
