"""Staleness: what changed is noticed and named, and nothing that was made of it is shown as current."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
import pytest
from artifact_kinds import artifacts, files_of, flip
from resealed import rewrite
from small_settings import SMALL

from rmlab.models.bundled.random_tiny import write_random_model
from rmlab.pipeline.stages import ANNOTATE, BY_NAME
from rmlab.storage import integrity as digests
from rmlab.storage.digest import file_digest

AFTER_SAMPLE = ("annotate", "embed", "fit_rm", "eval_rm", "report")


@pytest.fixture
def made(small_run, tmp_path):
    return shutil.copytree(small_run, tmp_path / "a")


def status(cli, out, *overrides):
    """stage -> (state, detail); the last of several of one stage."""
    rows = cli("status", *SMALL, f"out={out}", *overrides, "--json").json["stages"]
    return {row["stage"]: (row["state"], row["detail"]) for row in rows}


def other_responses(out):
    """As another device might draw them."""
    part = next((out / "sample").glob("*/part-00000.parquet"))
    table = pq.read_table(part)
    text = pa.chunked_array([table["text"].slice(1), table["text"].slice(0, 1)])
    rewrite(part, table.set_column(table.column_names.index("text"), table.schema.field("text"), text), False)


def test_nothing_is_stale_that_was_just_made(cli, made):
    assert {state for state, _ in status(cli, made).values()} == {"done"}


def test_a_changed_setting_is_named_with_both_values(cli, made):
    found = status(cli, made, "comparisons.n=50", "evaluation.resamples=60")
    assert found["fit_rm"][0] == "missing" and "comparisons.n 60 -> 50" in found["fit_rm"][1]
    assert found["eval_rm"][0] == "missing" and "evaluation.resamples 50 -> 60" in found["eval_rm"][1]
    assert "another eval_rm" in found["report"][1]
    assert found["embed"][0] == "done"


def test_a_changed_file_of_prompts(cli, tmp_path):
    file = tmp_path / "mine.jsonl"
    rows = [{"prompt": f"tell me of {i}", "split": "train" if i < 12 else "test"} for i in range(18)]
    settings = [f"prompts.path={file}", "prompts=file", "sft=none", "prompts.template=plain"]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert cli("sample", *SMALL, *settings, f"out={tmp_path / 'a'}").code == 0
    rows[0]["prompt"] = "tell me of nothing"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = status(cli, tmp_path / "a", *settings)
    assert (
        found["prompts"] == ("missing", found["prompts"][1]) and f"{file} has changed" in found["prompts"][1]
    )
    assert found["sample"][0] == "missing" and "another prompts" in found["sample"][1]
    prompts = next((tmp_path / "a" / "prompts").glob("*"))
    assert f"{file} has changed since" in cli("inspect", prompts, "--json").json["stale"]
    result = cli("verify", tmp_path / "a")
    assert result.code == 3 and "2 stale" in result.line and "has changed since" in result.line


def test_a_changed_folder_of_a_model(cli, tmp_path):
    write_random_model(tmp_path / "model", seed=3)
    settings = [f"model={tmp_path / 'model'}", "sampler=transformers", "sft=none"]
    assert cli("sample", *SMALL, *settings, f"out={tmp_path / 'a'}").code == 0
    write_random_model(tmp_path / "model", seed=4)
    found = status(cli, tmp_path / "a", *settings)
    assert found["sample"][0] == "missing" and f"{tmp_path / 'model'} has changed" in found["sample"][1]
    result = cli("verify", tmp_path / "a")
    assert result.code == 3 and "1 stale" in result.line


def test_rot_of_a_model_that_leaves_no_trace_is_found_by_verify(cli, tmp_path, monkeypatch):
    """And by the next process, where the model is small, as here."""
    write_random_model(tmp_path / "model", seed=3)
    settings = [f"model={tmp_path / 'model'}", "sampler=transformers", "sft=none"]
    assert cli("sample", *SMALL, *settings, f"out={tmp_path / 'a'}").code == 0
    assert cli("verify", tmp_path / "a").code == 0
    monkeypatch.setattr(digests, "_stamp", lambda file: [1])
    digests._known.clear()
    assert status(cli, tmp_path / "a", *settings)["sample"][0] == "done"
    flip(tmp_path / "model" / "model.safetensors", 5000)
    assert status(cli, tmp_path / "a", *settings)["sample"][0] == "done"
    result = cli("verify", tmp_path / "a")
    assert result.code == 3 and "1 stale" in result.line and "has changed since" in result.line
    assert status(cli, tmp_path / "a", *settings)["sample"][0] == "missing"
    flip(tmp_path / "model" / "model.safetensors", 5000)
    digests._known.clear()
    assert status(cli, tmp_path / "a", *settings)["sample"][0] == "done"


def test_a_model_under_the_home_folder(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_random_model(tmp_path / "mine", seed=3)
    settings = ["model='~/mine'", "sampler=transformers", "sft=none"]
    assert cli("sample", *SMALL, *settings, f"out={tmp_path / 'a'}").code == 0
    assert cli("verify", tmp_path / "a").code == 0
    write_random_model(tmp_path / "mine", seed=4)
    assert "has changed since" in cli("verify", tmp_path / "a").line


@pytest.mark.parametrize("kind", ["function", "component"])
def test_a_changed_file_of_code(cli, tmp_path, monkeypatch, kind):
    module = f"my_{kind}_reward"  # a module is imported once
    code = tmp_path / f"{module}.py"
    code.write_text(_CODE)
    monkeypatch.syspath_prepend(tmp_path)
    golden = {
        "function": ["golden=callable", f"golden.callable.path={module}.reward"],
        "component": ["golden=length", f"golden.length._target_={module}.Mine"],
    }[kind]
    settings = ["sft=none", *golden, f"allow_modules=[{module}]", f"out={tmp_path / 'a'}"]
    for stage in ("sample", "annotate"):
        assert cli(stage, *SMALL, *settings).code == 0
    assert cli("verify", tmp_path / "a").code == 0
    code.write_text(_CODE.replace("len(r)", "-len(r)"))
    result = cli("verify", tmp_path / "a")
    assert result.code == 3 and "1 stale" in result.line and module in result.line


_CODE = """
from dataclasses import dataclass
from rmlab.goldens.form import Length
def reward(prompts, responses):
    return [len(r) for r in responses]
@dataclass(frozen=True)
class Mine(Length):
    pass
"""


def test_a_changed_version_of_a_stage(cli, made, monkeypatch):
    newer = replace(ANNOTATE, version=99)
    monkeypatch.setattr("rmlab.pipeline.chain.ANNOTATE", newer)
    monkeypatch.setitem(BY_NAME, ANNOTATE.name, newer)
    found = status(cli, made)
    assert (
        found["annotate"][0] == "missing"
        and f"stage version {ANNOTATE.version} -> 99" in found["annotate"][1]
    )
    assert found["embed"][0] == "done" and found["fit_rm"][0] == "missing"
    line = cli("verify", made).line
    assert f"its stage has version 99, and it was made by version {ANNOTATE.version}" in line


def test_nothing_made_of_what_changed_is_presented_as_current(cli, made):
    other_responses(made)
    found = status(cli, made)
    for stage in AFTER_SAMPLE:
        assert found[stage][0] == "stale", stage
        assert "sample" in found[stage][1] and "was made again since" in found[stage][1]
    assert found["sample"][0] == "done" == found["prompts"][0]
    for stage in AFTER_SAMPLE:
        artifact = next((made / stage).glob("[!.]*"))
        assert "was made again since" in cli("inspect", artifact, "--json").json["stale"]
    refused = cli("eval-rm", *SMALL, f"out={made}")
    told = refused.err.splitlines()  # of each stage that eval_rm reads
    assert refused.code == 3 and len(told) == 3
    assert all("which is stale" in line and "run `rmlab " in line for line in told)
    refused = cli("export", made / "p.jsonl", "--from", next((made / "annotate").glob("length*")))
    assert refused.code == 3 and "is stale" in refused.line


def test_a_run_makes_what_is_stale_again_and_no_more(cli, made):
    other_responses(made)
    states = {(s["stage"], s["state"]) for s in cli("run", *SMALL, f"out={made}", "--json").json["stages"]}
    assert states == {(s, "already") for s in ("prompts", "sft", "sample")} | {
        (s, "done") for s in AFTER_SAMPLE
    }
    assert {state for state, _ in status(cli, made).values()} == {"done"}
    assert cli("verify", made).code == 0


def test_what_is_made_again_as_it_was_leaves_the_rest_current(cli, made):
    assert cli("sample", *SMALL, f"out={made}", "--force").code == 0
    assert {state for state, _ in status(cli, made).values()} == {"done"}


def test_parts_of_two_inputs_are_never_mixed(cli, made, tmp_path):
    """An embedding that was interrupted, and whose responses were then drawn anew, begins anew."""
    embed = next((made / "embed").glob("*"))
    old = file_digest(embed / "part-00000.parquet")
    from rmlab.storage.manifest import read_manifest
    from rmlab.storage.writer import writing

    with writing(embed) as writer:
        writer.reopen(read_manifest(embed), [])
    assert status(cli, made)["embed"] == ("begun", "1 parts")
    other_responses(made)
    assert cli("embed", *SMALL, f"out={made}").code == 0
    assert file_digest(embed / "part-00000.parquet") != old


@pytest.mark.slow
def test_a_sweep_takes_over_no_rows_of_what_was_there_before(cli, made):
    grid = ("head=linear", "arms=[]", "seed=0,1")
    assert cli("sweep", *SMALL, f"out={made}", *grid).code == 0
    before = pq.read_table(next((made / "sweep").glob("*/results.parquet")))
    other_responses(made)
    assert cli("sweep", *SMALL, f"out={made}", *grid).code == 3
    assert cli("run", *SMALL, f"out={made}").code == 0
    planned = cli("sweep", *SMALL, f"out={made}", *grid, "--dry-run", "--json").json["estimate"]
    assert (planned["cells"], planned["known"]) == (2, 0)
    assert cli("sweep", *SMALL, f"out={made}", *grid).code == 0
    after = pq.read_table(next((made / "sweep").glob("*/results.parquet")))
    assert before["cell"].equals(after["cell"]) and not before["seconds"].equals(after["seconds"])
    assert not before["test_spearman"].equals(after["test_spearman"])


def test_a_file_that_is_edited_while_it_is_read_gives_nothing(cli, tmp_path, monkeypatch):
    from rmlab.stages import prompts

    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps({"prompt": f"say {i}"}) + "\n" for i in range(30)))
    real = prompts.run

    def edited(job):
        real(job)
        file.write_text(file.read_text() + json.dumps({"prompt": "say more"}) + "\n")

    monkeypatch.setattr(prompts, "run", edited)
    settings = [f"prompts.path={file}", "prompts=file", "sft=none", "prompts.template=plain"]
    result = cli("sample", *SMALL, *settings, f"out={tmp_path / 'a'}")
    assert result.code == 3 and "changed while prompts read it; run the same command again" in result.line
    assert not artifacts(tmp_path / "a") and not list((tmp_path / "a").rglob("part-*"))
    monkeypatch.setattr(prompts, "run", real)
    assert cli("sample", *SMALL, *settings, f"out={tmp_path / 'a'}").code == 0


def test_artifacts_of_an_earlier_rmlab_are_made_again(cli, made):
    embed = next((made / "embed").glob("*"))
    before = [file_digest(file) for file in files_of(embed) if file.suffix == ".parquet"]
    manifest = json.loads((embed / "manifest.json").read_text())
    (embed / "manifest.json").write_text(json.dumps(manifest | {"format": 1}))
    found = status(cli, made)
    assert found["embed"][0] == "stale" and "earlier rmlab" in found["embed"][1]
    assert found["fit_rm"][0] == "stale"
    assert cli("run", *SMALL, f"out={made}").code == 0
    assert [file_digest(file) for file in files_of(embed) if file.suffix == ".parquet"] == before
    assert {state for state, _ in status(cli, made).values()} == {"done"}
