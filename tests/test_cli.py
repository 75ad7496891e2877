import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_settings import SMALL
from sweep_helpers import copied

from rmlab.pipeline.stages import BY_NAME
from rmlab.storage.artifact import open_artifact


def test_help_loads_nothing_heavy():
    heavy = "{'torch', 'transformers', 'pandas', 'pyarrow', 'hydra', 'numpy', 'pydantic', 'sklearn'}"
    code = f"import rmlab.cli, sys; found = {heavy} & set(sys.modules); assert not found, found"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_help_names_every_stage_and_teaches_overrides(cli):
    shown = cli("--help")
    assert shown.code == 0
    for word in (
        "sft",
        "sample",
        "annotate",
        "embed",
        "fit-rm",
        "eval-rm",
        "report",
        "run",
        "status",
        "inspect",
        "sweep",
    ):
        assert f"\n  {word} " in shown.out
    assert "rmlab fit-rm experiment=demo head=mlp seed=3" in shown.out
    assert "--dry-run" in cli("fit-rm", "--help").out


def test_the_bare_command_prints_the_whole_help(cli):
    shown = cli()
    assert shown.code == 0 and shown.err == "" and shown.out == cli("--help").out
    listed = " ".join(shown.out.split())
    assert "Settings follow a command" in listed and "..." not in listed.partition("Commands:")[2]
    assert "eval-rm Judge heads and controls: best-of-N, rank correlation, accuracy, calibration." in listed


@pytest.mark.parametrize(
    "words", [(), ("fit-rm", "--help"), ("settings",), ("settings", "--json"), ("doctor",)]
)
def test_a_reader_that_wants_no_more_is_no_error(words):
    """As `rmlab … | head` does: the pipe is closed before anything is written."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "rmlab", *words]
    with os.fdopen(write) as pipe:
        ended = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 1 and ended.stderr == ""


def test_the_version(cli):
    from rmlab import __version__

    assert cli("--version").out.strip() == f"rmlab {__version__}"


@pytest.mark.parametrize("arguments", [("rnu",), ("run", "--drive"), ("inspect",)])
def test_wrong_use_is_one_line_and_code_2(cli, arguments):
    result = cli(*arguments)
    assert result.code == 2 and result.line


def test_run_as_one_json_document_then_skips_what_is_done(cli, small_run):
    result = cli("run", *SMALL, f"out={small_run}", "--json")
    found = result.json
    assert result.code == 0 and {s["state"] for s in found["stages"]} == {"already"}
    stages = [s["stage"] for s in found["stages"]]
    assert list(dict.fromkeys(stages)) == [
        "prompts", "sft", "sample", "annotate", "embed", "fit_rm", "eval_rm", "report",
    ]  # fmt: skip
    assert all(open_artifact(Path(s["path"])).manifest.stage == s["stage"] for s in found["stages"])
    assert found["evaluation"]["chosen"] in found["evaluation"]["best_of_n"]
    labels = [s["metrics"]["train_labels"] for s in found["stages"] if s["stage"] == "fit_rm"]
    assert all(0 < x["error_rate"] < 0.5 and x["n"] + x["n_ties"] == 60 for x in labels)
    assert found["report"].endswith("report.html")


def test_dry_run_writes_nothing(cli, tmp_path):
    result = cli("run", *SMALL, f"out={tmp_path / 'x'}", "--dry-run", "--json")
    assert {s["state"] for s in result.json["stages"]} == {"planned"}
    assert list(tmp_path.iterdir()) == []


def test_stage_by_stage_equals_run_and_force_does_it_again(cli, tmp_path):
    args = (*SMALL, f"out={tmp_path}", "sft=none")
    assert cli("run", *args, "--json").code == 0
    again = cli("fit-rm", *args, "--json", "--force").json["stages"]
    assert {s["state"] for s in again} == {"done"} and len(again) == 2
    found = cli("fit-rm", *args, "seed=3", "head=mlp", "--json").json["stages"]
    assert [s["name"] for s in found] == ["mlp-bradley_terry", "mlp-classification"]
    assert cli("eval-rm", *args, "seed=3", "head=mlp").code == 0
    report = cli("report", *args, "seed=3", "head=mlp")
    assert report.code == 0 and "report.html" in report.out


def test_status_tells_done_begun_and_missing(cli, small_run, tmp_path):
    done = cli("status", *SMALL, f"out={small_run}", "--json").json["stages"]
    assert {s["state"] for s in done} == {"done"}
    assert "all done" in cli("status", *SMALL, f"out={small_run}").out
    missing = cli("status", *SMALL, f"out={tmp_path}")
    assert "missing" in missing.out and f"{len(done)} of {len(done)} to do" in missing.out


def test_status_without_settings_lists_all_that_is_there(cli, small_run, tmp_path):
    found = cli("status", f"out={small_run}", "--json").json["artifacts"]
    stages = (small_run / stage for stage in BY_NAME)
    folders = {str(folder) for stage in stages if stage.is_dir() for folder in stage.iterdir()}
    assert {row["path"] for row in found} == folders and {row["state"] for row in found} == {"done"}
    stages = [row["stage"] for row in found]
    assert stages[0] == "prompts" and stages.index("fit_rm") > stages.index("embed")
    sample = next(row for row in found if row["stage"] == "sample")
    assert sample["rows"] == open_artifact(Path(sample["path"])).manifest.rows
    shown = cli("status", f"out={small_run}").out
    assert f"{len(found)} in all" in shown and sample["path"] in shown
    begun = tmp_path / "out" / "sample" / "random-tiny-0123456789abcdef"
    begun.mkdir(parents=True)
    (begun.parent / "spoiled-0123456789abcdee").mkdir()
    (begun.parent / "spoiled-0123456789abcdee" / "manifest.json").write_text("{")
    rows = cli("status", f"out={tmp_path / 'out'}", "--json").json["artifacts"]
    assert {row["name"]: row["state"] for row in rows} == {"random-tiny": "begun", "spoiled": "damaged"}
    whole = copied(small_run, tmp_path / "copy")
    next((whole / "sample").glob("*/part-*")).unlink()
    states = {row["stage"]: row["state"] for row in cli("status", f"out={whole}", "--json").json["artifacts"]}
    assert (states["sample"], states["prompts"]) == ("damaged", "done")
    assert cli("status", "out=s3://bucket").code == 2
    nothing = cli("status", f"++out={tmp_path / 'nowhere'}")
    assert nothing.code == 0 and "rmlab run experiment=smoke" in nothing.out
    told = cli("inspect", small_run)
    assert (told.code, f"rmlab status out={small_run}" in told.line) == (3, True)


def test_inspect_takes_the_files_names_of_columns(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.jsonl").write_text('{"ask": "q", "yes": "a", "no": "b"}')
    assert cli("inspect", "a.jsonl", "--json").json["form"] is None
    columns = ["prompt=ask", "chosen=yes", "rejected=no"]
    found = cli("inspect", "a.jsonl", *(w for c in columns for w in ("--column", c)), "--json").json
    assert found["form"] == "preference"
    assert found["next"] == "rmlab import a.jsonl " + " ".join(f"columns.{c}" for c in columns)
    assert {column["name"] for column in found["tables"][0]["columns"]} == {"prompt", "chosen", "rejected"}


def test_inspect_shows_schema_rows_and_lineage_to_the_first_input(cli, small_run):
    folder = next((small_run / "eval_rm").iterdir())
    found = cli("inspect", folder, "--json").json
    names = {row["name"] for row in found["lineage"]}
    assert {"shipped:prompts/openings.jsonl", "shipped:demonstrations/openings.jsonl", "random-tiny"} <= names
    assert {t["table"] for t in found["tables"]} >= {"metrics", "curves", "paired", "head_scores"}
    sample = next((small_run / "sample").iterdir())
    shown = cli("inspect", sample, "--rows", 2).out
    assert "response_id: string" in shown and "row 2:" in shown and "row 3:" not in shown
    assert "table part-*: 96 rows" in shown
    assert cli("inspect", sample / "part-00000.parquet", "--json").json["tables"][0]["rows"] == 96


def test_inspect_of_what_is_no_artifact_says_what_it_is(cli, tmp_path):
    shipped_set = next(Path("data/released").iterdir()).absolute()
    for place, message in ((shipped_set, f"rmlab validate {shipped_set}"), (tmp_path, "is no artifact")):
        found = cli("inspect", place)
        assert found.code == 3 and message in found.err


def test_inspect_takes_several_paths(cli, small_run):
    places = [next((small_run / stage).iterdir()) for stage in ("prompts", "sample")]
    both = cli("inspect", *places, "--json").json["inspected"]
    assert both == [cli("inspect", place, "--json").json for place in places]
    shown = cli("inspect", *places)
    assert shown.code == 0 and [line for line in shown.out.splitlines() if line in map(str, places)] == [
        str(place) for place in places
    ]
    one_wrong = cli("inspect", places[0], "nothing-there")
    assert one_wrong.code == 3 and "nothing-there does not exist" in one_wrong.line and one_wrong.out == ""


PROMPT = {"prompt": "a"}
DATA = {
    "prompts": (PROMPT, "run prompts=file prompts.path={file}"),
    "demonstrations": ({**PROMPT, "completion": "b"}, "sft demonstrations=file demonstrations.path={file}"),
    "preference": ({**PROMPT, "chosen": "b", "rejected": "c"}, "import {file}"),
    "unpaired": ({**PROMPT, "completion": "b", "label": True}, "import {file}"),
    "scored": ({**PROMPT, "response": "b", "score": 1}, "import {file}"),
}


@pytest.mark.parametrize("form", DATA)
def test_inspect_of_a_file_of_data_names_its_form_and_the_command_that_takes_it(cli, tmp_path, form):
    row, command = DATA[form]
    file = tmp_path / "mine.jsonl"
    file.write_text(
        "".join(json.dumps({**row, "n": n} | ({"late": 0.5} if n else {})) + "\n" for n in range(4))
    )
    found = cli("inspect", file, "--rows", 2, "--json").json
    assert (found["form"], found["next"]) == (form, f"rmlab {command.format(file=file)}")
    [table] = found["tables"]
    assert table["rows"] == 4 and table["sample"] == [{**row, "n": 0}, {**row, "n": 1, "late": 0.5}]
    types = {column["name"]: column["type"] for column in table["columns"]}
    assert (
        types["prompt"] == "text"
        and types["late"] == "number, in 3 of 4 rows"
        and types["n"] == "whole number"
    )
    shown = cli("inspect", file).out
    assert f"form: {form}\nnext: {found['next']}\n" in shown and "table mine: 4 rows\n" in shown
    frame = pd.DataFrame([{**row, "n": n} for n in range(4)])
    frame.to_parquet(tmp_path / "mine.parquet")
    as_table = cli("inspect", tmp_path / "mine.parquet", "--json").json
    assert as_table.get("form") == form and as_table["tables"][0]["rows"] == 4


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.jsonl", '{"x": ', "a.jsonl, line 1: not JSON"),
        ("a.jsonl", "", "a.jsonl has no rows"),
        ("a.csv", "a,a\n1,2\n", "2 columns 'a'"),
        ("a.txt", "words", "is no artifact, and no file of data (.jsonl, .json, .csv, .parquet)"),
    ],
)
def test_inspect_of_a_broken_file_is_one_line(cli, tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    result = cli("inspect", tmp_path / name)
    assert result.code == 3 and message in result.line and result.out == ""


def test_inspect_of_rows_of_no_known_form_says_so(cli, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"x": 1}\n')
    shown = cli("inspect", tmp_path / "a.jsonl")
    assert shown.code == 0 and "its columns (x) match no known form" in shown.out and "next:" not in shown.out
    for row, command in {
        '{"question": "a", "better": "b", "worse": "c"}': "rmlab import {} columns.prompt=question columns.chosen=better",
        '{"id": "a1", "instruction": "Tell me."}': "rmlab run prompts=file prompts.path={} columns.prompt=instruction",
    }.items():
        (file := tmp_path / "own.jsonl").write_text(f"{row}\n")
        assert f"perhaps: {command.format(file)}" in cli("inspect", file).out


def test_inspect_refuses_a_small_file_that_declares_a_large_table(cli, tmp_path):
    """The file has 20 million rows in a few kilobytes, and would fill 160 MB."""
    file = tmp_path / "zeros.parquet"
    zeros = pa.table({"zero": pa.array(np.zeros(10_000_000, np.int64))})
    with pq.ParquetWriter(file, zeros.schema, compression="zstd") as writer:
        writer.write_table(zeros)
        writer.write_table(zeros)
    refused = cli("inspect", file)
    assert refused.code == 3 and "declares 20,000,000 rows" in refused.err
    pq.write_table(zeros.slice(0, 3), file)
    assert cli("inspect", file, "--rows", 2, "--json").json["tables"] == [
        {
            "table": "zeros",
            "files": 1,
            "rows": 3,
            "columns": [{"name": "zero", "type": "int64"}],
            "sample": [{"zero": 0}, {"zero": 0}],
        }
    ]


def test_doctor_says_what_is_there(cli):
    checks = {c["what"]: c for c in cli("doctor", "--json").json["checks"]}
    assert checks["python"]["ok"] and any("torch" in what for what in checks)
    assert "model=smollm2-135m-q4" in cli("doctor").out


def test_doctor_names_the_command_for_what_is_missing(cli, monkeypatch):
    from importlib import metadata

    version = metadata.version

    def without(name):
        if name == "lightgbm":
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", without)
    shown = cli("doctor").out
    assert "missing  lightgbm (head=trees)" in shown and 'run: pip install "lightgbm>=4.5"' in shown


def test_progress_goes_to_stderr_as_plain_lines(cli, tmp_path):
    result = cli("run", *SMALL, f"out={tmp_path}", "sft=none", "--json")
    assert json.loads(result.out) and "sample: done in" in result.err and "\x1b" not in result.err


def test_pandas_polars_duckdb_and_datasets_read_the_tables(small_run, tmp_path):
    import duckdb
    import polars
    from datasets import load_dataset

    embed, sample = (next((small_run / stage).iterdir()) for stage in ("embed", "sample"))
    files = str(embed / "part-*.parquet")
    rows = pd.concat(pd.read_parquet(f) for f in sorted(embed.glob("part-*")))
    assert len(rows) == 96 and len(rows["embedding"][0]) == 64
    assert polars.read_parquet(files).shape == (96, 5)
    assert duckdb.sql(f"select count(distinct response_id) from '{files}'").fetchall() == [(96,)]
    read = load_dataset(
        "parquet", data_files=str(sample / "part-*.parquet"), split="train", cache_dir=str(tmp_path)
    )
    assert read.num_rows == 96 and read.column_names[:2] == ["prompt_id", "response_id"]


def test_the_report_is_whole(small_run):
    page = next((small_run / "report").iterdir()).joinpath("report.html").read_text()
    for word in ("linear-bradley_terry", "trees-classification", "golden_regression", "best", "</html>"):
        assert word in page


def test_own_responses_and_scores_from_one_file(cli, tmp_path):
    rows = [
        {
            "prompt": f"question {i}",
            "response": f"answer {i} {k} " + "good " * (k % 4) + "bad " * ((i + k) % 3),
            "score": (k % 4) - (i + k) % 3 + 0.01 * k,
            "split": "test" if i % 3 == 0 else "train",
        }
        for i in range(18)
        for k in range(5)
    ]
    path = tmp_path / "mine.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    args = ("experiment=own_responses", f"input={path}", f"out={tmp_path / 'out'}", "embedder=hashing")
    result = cli("run", *args, "comparisons.n=60", "comparisons.n_validation=10", "--json")
    assert result.code == 0, result.err
    found = {s["stage"]: s for s in result.json["stages"]}
    assert found["sample"]["rows"] == 90 and found["annotate"]["rows"] == 90 and "sft" not in found
    scores = pd.read_parquet(Path(found["annotate"]["path"]) / "part-00000.parquet")
    texts = pd.read_parquet(Path(found["sample"]["path"]) / "part-00000.parquet")
    joined = texts.merge(scores, on="response_id").set_index("text")["score"]
    assert all(joined[r["response"]] == pytest.approx(r["score"]) for r in rows)


def test_sampling_alone_begins_with_the_prompts(cli, tmp_path):
    """The prompts have no command of their own, so that of the next stage makes them."""
    settings = [*SMALL, "sft=none", "arms=[]", f"out={tmp_path}"]
    planned = cli("sample", *settings, "--dry-run", "--json").json["stages"]
    assert [(s["stage"], s["state"]) for s in planned] == [("prompts", "planned"), ("sample", "planned")]
    assert cli("sample", *settings).code == 0
    again = cli("sample", *settings, "--json").json["stages"]
    assert [(s["stage"], s["state"]) for s in again] == [("sample", "already")]
    refused = cli("annotate", *settings[:-1], f"out={tmp_path / 'other'}")
    assert refused.code == 3 and "rmlab sample" in refused.line
