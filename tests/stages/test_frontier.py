"""The stage and the command frontier on small runs: its tables, its page, its summary, and bad input."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from report_page_parser import Page
from small_settings import SMALL

from rmlab.pipeline.plan import load_arms, plan
from rmlab.pipeline.run import run_nodes
from rmlab.pipeline.stages import FRONTIER as STAGE
from rmlab.storage.frontier_schema import FRONTIER_TABLES

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "data" / "released" / "openings-smollm2"


@pytest.fixture(scope="module")
def drawn(small_run, tmp_path_factory) -> Path:
    """The folder of the artifact that the small run's frontier is."""
    out = tmp_path_factory.mktemp("frontier") / "out"
    shutil.copytree(small_run, out)
    nodes = plan(load_arms([*SMALL, f"out={out}"]), STAGE)
    run_nodes(nodes, "rmlab frontier", quiet=True)
    return nodes[-1].folder


def table(drawn: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(drawn / f"{name}.parquet")


def test_tables_have_their_schemas_and_unique_keys(drawn):
    from rmlab.storage.artifact import open_artifact

    for schema in FRONTIER_TABLES:
        written = open_artifact(drawn).read(schema.name)
        assert written.schema.equals(schema.schema), schema.name
        assert not written.to_pandas().duplicated(list(schema.key)).any(), schema.name


def test_every_head_and_golden_reward_has_every_method(drawn):
    rows = table(drawn, "frontier")
    kinds = rows.drop_duplicates("arm").set_index("arm")["kind"].to_dict()
    assert kinds == {
        "linear-bradley_terry": "head",
        "trees-classification": "head",
        "sentiment": "golden",
        "length": "golden",
    }
    for _, mine in rows.groupby("arm"):
        assert set(mine["method"]) == {"best_of_n", "soft_best_of_n", "tilt"}
        assert set(mine["is_half"]) == {False, True}


def test_best_of_n_has_the_golden_rewards_of_the_evaluation(drawn):
    evaluation = next(drawn.parents[1].glob("eval_rm/*/curves.parquet"))
    curves = pd.read_parquet(evaluation).query("kind == 'head' and split == 'test'")
    rows = table(drawn, "frontier").query("method == 'best_of_n' and kind == 'head' and not is_half")
    both = rows.merge(curves, on=["arm", "n"], suffixes=("", "_other"))
    assert len(both) == len(rows) == len(curves)
    pd.testing.assert_series_equal(both["golden"], both["value"], check_names=False)
    pd.testing.assert_series_equal(both["proxy"], both["proxy_other"], check_names=False)
    assert (both["kl"] <= both["kl_other"] + 1e-12).all()


def test_samples_at_top_p_below_one_are_labelled(drawn):
    assert set(table(drawn, "frontier")["reference"]) == {"truncated"}
    page = Page((drawn / "frontier.html").read_text())
    assert "Reference: truncated" in page.text


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["sampling.top_p=1"], "exact"),
        (["sampling.top_p=1", "sampling.temperature=0.7"], "truncated"),
        ([], "truncated"),
    ],
)
def test_the_reference_is_exact_only_at_temperature_and_top_p_one(overrides, expected):
    assert plan(load_arms([*SMALL, *overrides]), STAGE)[-1].config["reference"] == expected


def test_a_set_says_how_its_samples_were_drawn_and_other_files_do_not(tmp_path):
    def reference(folder: Path) -> str:
        chosen = ("experiment=embedding_set", f"input={folder}", 'arms=["head=linear"]')
        return plan(load_arms(chosen), STAGE)[-1].config["reference"]

    assert reference(SHIPPED) == "truncated"
    record = json.loads((SHIPPED / "set.json").read_text())
    for policy in record["policies"]:
        policy["made_by"]["sample"]["config"]["sampling"]["top_p"] = 1.0
    own = tmp_path / "set"
    shutil.copytree(SHIPPED, own)
    (own / "set.json").write_text(json.dumps(record))
    assert reference(own) == "exact"
    for policy in record["policies"]:
        policy["made_by"] = {}
    (own / "set.json").write_text(json.dumps(record))
    assert reference(own) == "unknown"


def test_the_command_makes_what_is_missing_and_tells_it(cli, small_run, tmp_path):
    shutil.copytree(small_run, tmp_path / "o", ignore=shutil.ignore_patterns("eval_rm", "report", "fit_rm"))
    args = ("frontier", *SMALL, f"out={tmp_path / 'o'}")
    planned = cli(*args, "--dry-run", "--json")
    assert planned.code == 0 and [s["stage"] for s in planned.json["stages"]][-1] == "frontier"
    assert not (tmp_path / "o" / "frontier").exists()
    done = cli(*args)
    assert done.code == 0, done.err
    assert (
        "reference: truncated" in done.out and "gamma of" in done.out and "linear-bradley_terry" in done.out
    )
    page = Path(done.out.rsplit("report: ", 1)[1].strip())
    assert page.is_file() and page.name == "frontier.html"
    again = cli(*args, "--json").json
    assert {s["state"] for s in again["stages"]} == {"skipped"} or all(
        s["state"] != "done" for s in again["stages"][:-1]
    )
    assert again["reference"] == "truncated" and again["golden"] == "sentiment"
    assert len(again["frontier"]) > 20 and {r["method"] for r in again["overoptimisation"]} == {
        "best_of_n", "soft_best_of_n", "tilt"
    }  # fmt: skip


def test_names_are_escaped_and_equal_content_gives_equal_pages(drawn):
    from rmlab.report.frontier import FrontierContent, render_frontier

    rows, scores = table(drawn, "frontier"), table(drawn, "overoptimisation")
    evil = "<script>alert(1)</script>"
    for frame in (rows, scores):
        frame["arm"] = frame["arm"].replace({"linear-bradley_terry": evil})
    content = FrontierContent(evil, "sentiment", evil, rows, scores, [evil])
    page = render_frontier(content)
    assert "<script" not in page and page == render_frontier(content)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("frontier.betas=[0]", "needs every beta from 0.01"),
        ("frontier.betas=[-1]", "needs every beta from 0.01"),
        ("frontier.soft_betas=[0]", "needs every beta from 0.01"),
        ("frontier.ns=[]", "numbers of responses to choose from"),
        ("frontier.ns=[0]", "numbers of responses to choose from"),
        ("frontier.ns=[2,500]", "asks for the best of 500, but there are prompts with 6 responses"),
        ("sampling.n_test=1", "there is nothing to choose from"),
        ("frontier.beta=[1]", "frontier.beta"),
    ],
)
def test_bad_settings_are_one_line(cli, tmp_path, override, words):
    result = cli("frontier", *SMALL, f"out={tmp_path}", override)
    assert result.code in (2, 3), result.err
    assert words in result.line
    assert not list(tmp_path.glob("frontier/*"))


def test_an_arm_may_not_change_what_is_sampled(cli, tmp_path):
    arms = "arms=['head=linear','head=linear sampling.temperature=0.5']"
    result = cli("frontier", *SMALL, f"out={tmp_path}", arms)
    assert result.code == 2 and "changes sample" in result.line


def test_a_constant_golden_reward_is_told_and_has_no_score(cli, tmp_path):
    """The dummy's responses hold no word of the offensive lexicon."""
    args = (
        *SMALL,
        f"out={tmp_path}",
        "golden=[length,offensive]",
        "label_golden=length",
        'arms=["head=linear"]',
    )
    result = cli("frontier", *args, "--json")
    assert result.code == 0, result.err
    flat = [r for r in result.json["overoptimisation"] if r["arm"] == "offensive"]
    assert flat and all(r["gamma"] is None for r in flat)
    assert all(
        r["kl"] < 1e-9 and r["n_constant"] == 6 for r in result.json["frontier"] if r["arm"] == "offensive"
    )
    assert "offensive gives the responses of all test prompts one value" in result.err
