"""rmlab reproduce, from embeddings to verdicts, on findings of the user's own."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from own_finding import MINE, write_finding
from small_settings import SMALL

from rmlab.storage.artifact import open_artifact
from rmlab.storage.study_schema import STUDY_TABLES


@pytest.fixture
def own(tmp_path) -> Path:
    return write_finding(tmp_path)


def arguments(out: Path, own: Path, *more: str) -> list[str]:
    return ["reproduce", *SMALL, f"out={out}", "seed=0,1", "--only", "mine", "--config-dir", str(own), *more]


def test_from_embeddings_to_verdicts_and_skipped_the_next_time(cli, out, own, inline):
    made = cli(*arguments(out, own, "--json"))
    assert made.code == 0, made.err
    assert made.json["cells"] == len(inline.axes) == 8
    findings = made.json["findings"]
    assert [f["claim"] for f in findings] == ["clean beats noisy", "trees beat linear"]
    assert all(f["verdict"] in ("supported", "contradicted", "negligible", "undecided") for f in findings)
    assert all(f["low"] <= f["effect"] <= f["high"] and f["n_seeds"] == 2 for f in findings)
    again = cli(*arguments(out, own))
    assert again.code == 0 and len(inline.axes) == 8
    assert "1 finding, 1 set-up, 8 cells, 0 to run" in again.out
    assert "clean beats noisy" in again.out and made.json["report"] in again.out


def test_effects_are_those_of_the_sweep_s_own_rows(cli, out, own, inline):
    made = cli(*arguments(out, own, "--json")).json
    stages = {s["stage"]: Path(s["path"]) for s in made["stages"]}
    rows = open_artifact(stages["sweep"]).read("results").to_pandas()
    heads = rows[rows["kind"] == "head"]
    mean = heads.groupby("noise.error")["test_best_of_n"].mean()
    deviation = heads["test_golden_deviation"].iloc[0]
    expected = (mean[0.0] - mean[0.45]) / deviation
    assert made["findings"][0]["effect"] == pytest.approx(expected, abs=1e-5)
    means = open_artifact(stages["study"]).read("study_means").to_pandas()
    assert (
        set(means["kind"]) == {"head", "control"}
        and len(means[means["metric"] == "best_of_largest"]) == 4 + 5
    )


def test_tables_have_their_schemas_and_keys(cli, out, own, inline):
    folder = Path(cli(*arguments(out, own, "--json")).json["report"]).parent
    for table in STUDY_TABLES:
        assert pq.read_schema(folder / table.files).equals(table.schema)
        frame = pd.read_parquet(folder / table.files)
        assert not frame.duplicated(list(table.key)).any()


def test_an_interrupted_study_goes_on_at_the_cell(cli, out, own, inline):
    inline.stop_after = 3
    assert cli(*arguments(out, own)).code == 130
    inline.stop_after = None
    planned = cli(*arguments(out, own, "--dry-run", "--json")).json
    assert planned["left"] == 5 and "findings" not in planned
    assert cli(*arguments(out, own)).code == 0 and len(inline.axes) == 8


def test_cells_that_fail_leave_the_other_claims_and_the_exit_code_says_so(cli, out, own, inline):
    broken = MINE | {"arms": MINE["arms"] | {"trees": "head=trees loss=hinge"}}
    (own / "study" / "mine.yaml").write_text(yaml.safe_dump(broken))
    made = cli(*arguments(out, own, "--json"))
    assert made.code == 4
    assert {f["verdict"] for f in made.json["findings"]} == {"not run"}
    assert "add loss=classification" in made.json["findings"][1]["reason"]
    assert cli(*arguments(out, own)).code == 4


def test_wrong_use_is_one_line(cli, out, own):
    assert "no finding is called nope" in cli("reproduce", *SMALL, "--only", "nope").line
    assert cli("reproduce", *SMALL, f"out={out}", "bogus=1").code == 2
