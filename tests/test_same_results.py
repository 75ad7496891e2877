"""scripts/same_results.py: it finds a changed last bit, and does not mind times and fingerprints."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

ROOT = Path(__file__).parents[1]


@pytest.fixture
def same(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import same_results

    return same_results


ROWS = {
    "text": ["a", None, "c"],
    "score": [1.0, float("nan"), 0.3],
    "items": [["x", "y"], [], None],
    "embedding": pa.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], pa.list_(pa.float32(), 2)),
}


def write(folder, file="part-00000.parquet", fingerprint="0" * 16, **columns):
    """One table of one artifact, in a folder of artifacts."""
    path = folder / "embed" / f"mine-{fingerprint}" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({**ROWS, **columns}), path)
    return folder


def only(lines):
    assert len(lines) == 1
    return lines[0]


def test_equal_tables_are_the_same_whatever_the_fingerprint(same, tmp_path):
    one, other = write(tmp_path / "1"), write(tmp_path / "2", fingerprint="f" * 16)
    line = only(same.compare(one, other))
    assert line.difference is None and str(line) == "same       embed/mine/part-*.parquet"


def test_parts_may_be_cut_otherwise(same, tmp_path):
    one, other = write(tmp_path / "1"), tmp_path / "2"
    table = pa.table(ROWS)
    path = write(other) / "embed" / f"mine-{'0' * 16}"
    pq.write_table(table.slice(0, 1), path / "part-00000.parquet")
    pq.write_table(table.slice(1), path / "part-00001.parquet")
    assert only(same.compare(one, other)).difference is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"score": [1.0, float("nan"), np.nextafter(0.3, 1)]}, "column score: 1 of 3 values differ; largest"),
        ({"score": [1.0, 2.0, 0.3]}, "1 of 3 values differ, 1 of them NaN or null on one side"),
        ({"score": [1.0, None, 0.3]}, "1 of 3 values differ, 1 of them NaN or null on one side"),
        ({"text": ["a", "", "c"]}, "column text: 1 of 3 values differ, such as None against ''"),
        ({"text": ["ab", None, ""]}, "column text: 2 of 3 values differ, such as 'a' against 'ab'"),
        ({"items": [["x"], ["y"], None]}, "column items: 2 of 3 values differ"),
        ({"items": [["x", "y"], None, []]}, "column items: 2 of 3 values differ"),
        ({"more": [1, 2, 3]}, "column more is missing in the first"),
        (
            {"embedding": pa.array([[1, 2], [3, 4], [5, 8]], pa.list_(pa.float32(), 2))},
            "column embedding: 1 of 6 values differ; largest absolute difference 2",
        ),
        (
            {"embedding": pa.array([[1, 2], [3, 4], [5, 6]], pa.list_(pa.float64(), 2))},
            "column embedding: type fixed_size_list<element: float>[2] against ",
        ),
    ],
)
def test_a_planted_difference_is_found(same, tmp_path, change, told):
    line = only(same.compare(write(tmp_path / "1"), write(tmp_path / "2", **change)))
    assert told in str(line) and str(line).startswith("DIFFERENT  embed/mine/part-*.parquet: ")


def test_the_sign_of_zero_is_a_bit(same, tmp_path):
    one, other = (write(tmp_path / str(zero), score=[zero, 1.0, 2.0]) for zero in (0.0, -0.0))
    assert "1 of 3 values differ; largest absolute difference 0" in str(only(same.compare(one, other)))


def test_the_order_of_rows_counts(same, tmp_path):
    one, other = write(tmp_path / "1"), write(tmp_path / "2")
    path = other / "embed" / f"mine-{'0' * 16}" / "part-00000.parquet"
    pq.write_table(pq.read_table(path).take([1, 0, 2]), path)
    assert "column text (and 3 more): 2 of 3 values differ" in str(only(same.compare(one, other)))


def test_the_order_of_columns_and_dictionaries_do_not_count(same, tmp_path):
    one, other = write(tmp_path / "1"), write(tmp_path / "2")
    table = pa.table({**dict(reversed(ROWS.items())), "text": pa.array(ROWS["text"]).dictionary_encode()})
    pq.write_table(table, other / "embed" / f"mine-{'0' * 16}" / "part-00000.parquet")
    assert only(same.compare(one, other)).difference is None


def test_ignored_columns_are_ignored_in_their_files_alone(same, tmp_path):
    def results(file, seconds):
        return [write(tmp_path / f"{file}-{s}", file, seconds=[s] * 3, cell=[str(s)] * 3) for s in seconds]

    assert only(same.compare(*results("results.parquet", (1.0, 2.0)))).difference is None
    assert "column seconds" in str(only(same.compare(*results("metrics.parquet", (1.0, 2.0)))))


def test_a_missing_table_is_named(same, tmp_path):
    one, other = write(tmp_path / "1"), write(write(tmp_path / "2"), "more.parquet")
    lines = {line.table: line for line in same.compare(one, other)}
    assert str(lines["embed/mine/more.parquet"]) == "missing    embed/mine/more.parquet: missing in the first"
    assert lines["embed/mine/part-*.parquet"].difference is None


def test_saved_heads_are_compared(same, tmp_path):
    for side, weight, temperature in (("1", 1.0, 2.0), ("2", 1.0 + 1e-7, 2.5)):
        folder = tmp_path / side / "fit_rm" / "head-0123456789abcdef" / "head"
        folder.mkdir(parents=True)
        save_file({"w": np.full((2, 3), weight, np.float32), "b": np.zeros(1)}, folder / "head.safetensors")
        record = {"temperature": temperature, "normalise": {"mean": 0.5}, "sha256": side, "kind": "linear"}
        (folder / "head.json").write_text(json.dumps(record))
        (folder / "head.txt").write_text("tree\nleaf=1\n")
    told = "\n".join(str(line) for line in same.compare(tmp_path / "1", tmp_path / "2"))
    assert "column w [2, 3]: 6 of 6 values differ; largest absolute difference 1.19e-07" in told
    assert "column temperature: 1 of 1 values differ; largest absolute difference 0.5" in told
    assert "same       fit_rm/head/head/head.txt" in told


def test_two_artifacts_of_one_name_are_refused(same, tmp_path):
    write(write(tmp_path), fingerprint="1" * 16)
    with pytest.raises(same.CannotRun, match="have the same name"):
        same.compare(tmp_path, tmp_path)


def artifacts(folder, ids, score=0.5, effect=0.1):
    """Two prompts with two responses each, in an order and with ids of their own, and one finding."""
    messages = {"p": [{"role": "user", "content": "P"}], "q": [{"role": "user", "content": "Q"}]}
    rows = [
        {"prompt_id": prompt, "response_id": f"{ids}-{prompt}{k}", "sample_index": k, "text": f"{prompt}{k}"}
        for prompt in (sorted(messages, reverse=ids == "new"))
        for k in range(2)
    ]
    tables = {
        "prompts/a": pd.DataFrame(
            {"prompt_id": ["p", "q"], "messages": messages.values(), "source_row": [1, 2]}
        ),
        "sample/b": pd.DataFrame(rows),
        "annotate/c": pd.DataFrame(rows).assign(score=score)[["response_id", "score"]],
        "embed/d": pd.DataFrame(rows).assign(embedding=[[1.0, 2.0]] * 4)[["response_id", "embedding"]],
        "study/e": pd.DataFrame(
            [
                {
                    "finding": "f",
                    "claim": "c",
                    "effect": effect,
                    "low": 0.0,
                    "high": 0.2,
                    "verdict": "undecided",
                }
            ]
        ),
    }
    for name, frame in tables.items():
        (folder / name).mkdir(parents=True)
        file = "findings.parquet" if name == "study/e" else "part-00000.parquet"
        frame.to_parquet(folder / name / file)
    return folder


def test_across_ids_responses_are_told_by_prompt_and_number(same, tmp_path):
    one, other = (artifacts(tmp_path / ids, ids) for ids in ("old", "new"))
    assert any(line.difference for line in same.compare(one, other))
    assert [line.difference for line in same.compare_across_ids(one, other)] == [None] * 4


def test_across_ids_scores_and_findings_are_compared(same, tmp_path):
    one, other = artifacts(tmp_path / "1", "old"), artifacts(tmp_path / "2", "new", score=0.6, effect=0.3)
    told = {line.table: line.difference for line in same.compare_across_ids(one, other)}
    assert told["sample/b/part-*.parquet"] is None and told["embed/d/part-*.parquet"] is None
    assert "column score: 4 of 4 values differ" in told["annotate/c/part-*.parquet"]
    assert (
        told["study/findings"]
        == "1 of 1 effects are outside the other's interval: +0.100 against +0.300 of 'c'"
    )


def test_a_folder_is_a_version_and_nonsense_is_none(same, tmp_path):
    for needed in same.NEEDED:
        (tmp_path / "mine" / needed).mkdir(parents=True)
    (tmp_path / "mine" / "rmlab" / "__init__.py").touch()
    version = same.export(str(tmp_path / "mine"), tmp_path / "copy", "first")
    assert version.commit is None and (tmp_path / "copy" / "rmlab" / "__init__.py").is_file()
    with pytest.raises(same.CannotRun, match="neither a commit nor a folder"):
        same.export("no-such-commit", tmp_path / "other", "first")


def test_the_parts_are_commands_of_this_version(same):
    parts = {part.name: part for part in same.all_parts(ROOT)}
    assert list(parts) == ["smoke", "heads", "study"]
    assert "comparisons.n=1200" in parts["heads"].words and "head=trees" in parts["heads"].words[-1]


def test_networks_and_trees_are_made_small(same, tmp_path):
    head = tmp_path / "v" / "conf" / "head"
    (tmp_path / "v" / "rmlab").mkdir(parents=True)
    head.mkdir(parents=True)
    (head / "mlp.yaml").write_text("epochs: 100\nhidden: [1024, 8]  # widths, such as 64\n")
    (head / "trees.yaml").write_text("n_estimators: 500        # at most 500\nnum_leaves: 15\n")
    small = same.with_small_heads(tmp_path / "v") / "conf" / "head"
    assert (small / "mlp.yaml").read_text() == "epochs: 25\nhidden: [64, 1]  # widths, such as 64\n"
    assert (small / "trees.yaml").read_text() == "n_estimators: 31        # at most 500\nnum_leaves: 15\n"


def test_what_is_kept_is_taken_only_for_the_same_command(same, tmp_path, monkeypatch):
    ran = []

    def run(version, part, out):
        ran.append(part.words)
        out.mkdir(parents=True)

    monkeypatch.setattr(same, "_run_part", run)
    version = same.Version("first", tmp_path, "abc")
    for words in (("run", "a"), ("run", "a"), ("run", "b")):
        found = same.run_version(version, [same.Part("smoke", words)], tmp_path / "kept")
        assert found == {"smoke": tmp_path / "kept" / "smoke"}
    assert ran == [("run", "a"), ("run", "b")]


def test_a_wrong_name_is_one_line():
    command = [sys.executable, "scripts/same_results.py", "no-such-commit"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert (
        done.stderr == "same_results: no-such-commit is neither a commit nor a folder with a package rmlab\n"
    )
