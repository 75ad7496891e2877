"""rmlab bench: every suite end to end, by heads and golden rewards, and what its page prints."""

from __future__ import annotations

import gzip
import json
import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from printed_pages import ROOT, run_page
from small_settings import SMALL
from suite_files import LENGTH, ROWS, dataset, file_of, read, write_rows, write_tiny_classifier

import rmlab
from rmlab import RewardModel
from rmlab.cli import app
from rmlab.embedders.hashing import _HashingSession as Hashing
from rmlab.suites.questions import SUITES


def n_words(texts):
    return [float(len(text.split())) for text in texts]


def test_a_head_and_its_results_by_row(cli, head, suite, tmp_path):
    source, out = file_of(tmp_path, suite), tmp_path / "out.jsonl"
    found = cli("bench", "--suite", suite, source, "--head", head, "--out", out, "--json")
    assert found.code == 0, found.err
    told, rows, given = found.json, read(out), ROWS[suite]()
    assert told["rows"] == told["rows_of_file"] == len(given) == len(rows)
    assert told["judged"]["embedder"] == "hashing" and told["judged"]["template_hash"] == "hashing"
    assert told["overall"] == told["scores"][-1] and told["cut"] == 0
    assert 0 <= told["overall"]["low"] <= told["overall"]["score"] <= told["overall"]["high"] <= 1.01
    prompts = [str(row.get("prompt", row.get("question"))) for row in given]
    model = RewardModel.load(head)
    key = {"rm-bench": "score_chosen", "rewardbench": "scores_chosen", "rewardbench2": "scores"}.get(suite)
    first = [row["response_A"] if suite == "judgebench" else np.ravel(row["chosen"])[0] for row in given]
    scores = [
        row["judgments"][0]["judgment"]["scores"][0] if key is None else np.ravel(row[key])[0] for row in rows
    ]
    np.testing.assert_array_equal(scores, model.score(prompts, list(map(str, first))))
    assert cli("bench", "--suite", suite, source, "--head", head, "--json").json == told | {"out": None}


def test_results_of_golden_length_by_hand(cli, tmp_path):
    def run(name):
        source, out = file_of(tmp_path, name), tmp_path / f"{name}-out.jsonl"
        told = cli("bench", "--suite", name, source, LENGTH, "--out", out, "--json").json
        assert told["judged"] == {"golden": "length", "unit": "words", "dtype": "float32"}
        return {line["name"]: line["score"] for line in told["scores"]}, read(out), ROWS[name]()

    scores, rows, given = run("rewardbench")
    assert scores["all rows"] == scores["average"] == 0.75  # all but every fourth
    assert [row["results"] for row in rows] == [int(k % 4 != 3) for k in range(20)]
    assert rows[0]["text_rejected"][-1] == {"role": "assistant", "content": given[0]["rejected"]}
    assert rows[0]["prompt"] == rows[1]["prompt"] == "Question 0?" and rows[0]["chosen_model"] == "m"
    scores, rows, given = run("rewardbench2")
    assert scores["Math"] == pytest.approx((0 + 0.5 + 1) / 3)  # 2, 3 and 4 words against at most 3
    assert rows[1]["results"] == 0.5 and rows[0]["num_correct"] == 1 and len(rows[0]["text"]) == 4
    # tied:N spans 0, 1, 2 words at a margin of 4, and ref:N has 3: all tests pass, and ratios are 3 and 1.5
    ties = 1 + 0.01 * np.mean(np.tanh([2, 0.5]))
    assert scores["Ties"] == pytest.approx(ties)
    assert scores["score"] == pytest.approx((5 * 0.5 + ties) / 6)
    scores, rows, given = run("rm-bench")
    for row, told in zip(given, rows, strict=True):
        assert told["score_chosen"] == n_words(row["chosen"]) and told["domain"] == row["domain"]
    right = [
        np.greater.outer(row["score_chosen"], row["score_rejected"])
        for row in rows
        if row["domain"] == "chat"
    ]
    assert scores["chat hard"] == pytest.approx(np.mean([r[np.triu_indices(3, 1)] for r in right]))
    assert scores["chat easy"] == pytest.approx(np.mean([r[np.tril_indices(3, -1)] for r in right]))
    assert scores["average"] == pytest.approx(
        np.mean([scores[d] for d in ("chat", "math", "code", "safety")])
    )
    scores, rows, given = run("judgebench")
    verdicts = {2.0: "B>A", 3.0: "A=B", 4.0: "A>B"}
    for row, told in zip(given, rows, strict=True):
        [a] = n_words([row["response_A"]])
        assert told["judgments"][0]["decision"] == verdicts[a]
        assert told["judgments"][1]["judgment"]["scores"] == [3.0, a]
    assert scores["accuracy"] == pytest.approx(
        np.mean([verdicts[2.0 + k % 3] == row["label"] for k, row in enumerate(given)])
    )


def test_a_table_is_printed_and_says_what_to_know(cli, head, tmp_path):
    shown = cli("bench", "--suite", "rewardbench2", file_of(tmp_path, "rewardbench2"), "--head", head)
    assert shown.code == 0
    lines = shown.out.splitlines()
    assert lines[0].startswith("rewardbench2: 21 rows of 18 prompts in ")
    assert "template_hash hashing" in lines[1] and lines[2].split()[:2] == ["result", "score"]
    assert any(line.startswith("score ") and " to " in line for line in lines)
    rows = [row for row in ROWS["rewardbench2"]() if row["subset"] in ("Math", "Ties")][:4]
    rows[0]["chosen"] = [""]
    told = cli("bench", "--suite", "rewardbench2", write_rows(tmp_path / "f.jsonl", rows), LENGTH).out
    for words in (
        "no rows of the subsets Factuality, Precise IF, Safety, Focus",
        "1 rows of Ties have no companion",
        "1 answers are empty, and were scored as they are",
        "an interval needs two prompts in each part",
    ):
        assert words in told, words


def test_all_kinds_of_files_are_read_alike(cli, suite, tmp_path):
    rows = ROWS[suite]()
    if suite == "rewardbench":
        rows = [
            {**row, "prompt": [{"role": "user", "content": f"Question {k // 2}?"}]}
            for k, row in enumerate(rows)
        ]
    plain = write_rows(tmp_path / "rows.jsonl", rows)
    with gzip.open(tmp_path / "packed.jsonl.gz", "wt") as file:
        file.write(plain.read_text())
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    table = pa.Table.from_pylist(
        [{k: v if isinstance(v, str) else json.dumps(v) for k, v in row.items()} for row in rows]
    )
    table.to_pandas().to_csv(tmp_path / "rows.csv", index=False)
    expected = None
    for name in ("rows.jsonl", "packed.jsonl.gz", "rows.parquet", "rows.json", "rows.csv"):
        found = cli("bench", "--suite", suite, tmp_path / name, LENGTH, "--json")
        assert found.code == 0, (name, found.err)
        expected = expected or found.json["scores"]
        assert found.json["scores"] == expected, name


def test_pairs_of_your_own_need_no_subset(cli, tmp_path):
    rows = [
        {"chosen": [_user("a"), _assistant("b c")], "rejected": [_user("a"), _assistant("d")]},
        {"prompt": "a", "chosen": "b", "rejected": "c d"},
        {"prompt": "e", "chosen": [_assistant("b b")], "rejected": [_assistant("b")]},
    ]
    found = cli(
        "bench", "--suite", "rewardbench", write_rows(tmp_path / "f.jsonl", rows), LENGTH, "--json"
    ).json
    assert [line["name"] for line in found["scores"]] == ["accuracy"]
    assert found["overall"]["score"] == pytest.approx(2 / 3) and found["prompts"] == 2


def _user(text):
    return {"role": "user", "content": text}


def _assistant(text):
    return {"role": "assistant", "content": text}


def test_scores_of_another_model_come_from_a_file(cli, suite, tmp_path):
    """golden=file finds the scores of any model by prompt and response."""
    source, scored = file_of(tmp_path, suite), []
    for row in ROWS[suite]():
        columns = ("response_A", "response_B") if suite == "judgebench" else ("chosen", "rejected")
        prompt = row["question"] if suite == "judgebench" else row["prompt"]
        for text in (t for c in columns for t in (row[c] if isinstance(row[c], list) else [row[c]])):
            scored.append({"prompt": prompt, "response": text, "score": len(text.split())})
    given = write_rows(tmp_path / "scores.jsonl", scored)
    found = cli("bench", "--suite", suite, source, "golden=file", f"golden.file.path={given}", "--json")
    assert found.code == 0, found.err
    assert found.json["scores"] == cli("bench", "--suite", suite, source, LENGTH, "--json").json["scores"]
    assert found.json["judged"]["path"] == str(given)
    write_rows(given, scored[6:])  # without those of the first row
    lacking = cli("bench", "--suite", suite, source, "golden=file", f"golden.file.path={given}")
    assert lacking.code == 3 and "no score for response row-1-0" in lacking.line


def test_a_limit_draws_prompts_by_seed(cli, tmp_path):
    source, out = file_of(tmp_path, "rewardbench2"), tmp_path / "out.jsonl"

    def ids(seed):
        said = cli(
            "bench", "--suite", "rewardbench2", source, LENGTH, "--limit", 8, "--seed", seed, "--out", out
        )
        assert said.code == 0 and "drawn by --limit" in said.out
        return [(row["subset"], row["id"]) for row in read(out)]

    assert ids(1) == ids(1) != ids(2)
    for seed in range(4):
        drawn = [name for kind, name in ids(seed) if kind == "Ties"]
        assert {n.replace("tied", "ref") for n in drawn} == {n for n in drawn if n.startswith("ref")}
    whole = cli("bench", "--suite", "rewardbench2", source, LENGTH, "--limit", 99).out
    assert "--limit" not in whole


def test_long_texts_are_cut_and_counted_or_refused(cli, head, tmp_path, monkeypatch):
    rows = ROWS["rewardbench"]()
    rows[1]["rejected"] = "long " * 40
    source, out = write_rows(tmp_path / "f.jsonl", rows), tmp_path / "out.jsonl"
    folder = write_tiny_classifier(tmp_path / "c")
    golden = ("golden=classifier", f"golden.classifier.model={folder}", "golden.classifier.template=plain")
    whole = Hashing.embed

    def embed(session, exchanges, tick):
        """As a model embeds that reads 24 tokens."""
        found = whole(session, exchanges, tick)
        return replace(found, truncated=found.n_tokens > 24)

    monkeypatch.setattr(Hashing, "embed", embed)
    monkeypatch.setattr(Hashing, "limit", 24, raising=False)
    for judge in (("--head", head), (*golden, "golden.classifier.max_tokens=60")):
        call = ("bench", "--suite", "rewardbench", source, *judge)
        told = cli(*call, "--json").json
        assert (
            told["cut"] == 1 and told["judged"]["template_hash"] and 20 < told["judged"]["max_tokens"] <= 60
        )
        refused = cli(*call, "--long", "refuse", "--out", out)
        assert refused.code == 3 and f"{source}, row 2: answer 2 is longer than the" in refused.line
        assert not out.exists()
    assert told["judged"]["model"] == str(folder) and told["judged"]["dtype"] == "float32"
    shown = cli("bench", "--suite", "rewardbench", source, "--head", head).out
    assert "1 of 40 texts were longer than the model reads and were cut" in shown


def test_a_dataset_of_the_local_cache(cli, tmp_path, monkeypatch):
    commit = "0123456789abcdef0123456789abcdef01234567"
    root = tmp_path / ".cache" / "datasets--ScalerLab--JudgeBench"
    rows = ROWS["judgebench"]()
    dataset(root / "snapshots" / commit, {"claude": rows[:4], "gpt": rows[4:]})
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(tmp_path / ".cache"))
    monkeypatch.chdir(tmp_path)

    def run(*more):
        return cli("bench", "--suite", "judgebench", "ScalerLab/JudgeBench", LENGTH, *more)

    assert run("--json").json["rows"] == 8  # the split gpt
    assert run("--split", "claude", "--json").json["rows"] == 4
    assert "has no split 'test'; name one of its splits: claude, gpt" in run("--split", "test").line
    shutil.rmtree(root)
    told = run()
    assert told.code == 3 and "hf download ScalerLab/JudgeBench --repo-type dataset" in told.line


def test_a_folder_of_a_dataset_with_one_split(cli, tmp_path):
    folder = dataset(tmp_path / "set", {"test": ROWS["rm-bench"]()})
    assert cli("bench", "--suite", "rm-bench", folder, LENGTH, "--json").json["rows"] == 15


def test_a_centred_head_compares_the_answers_of_each_row(cli, tmp_path):
    few = (*SMALL, "sft=none", "arms=['head=linear head.centre=prompt']", f"out={tmp_path / 'made'}")
    for stage in ("sample", "annotate", "embed", "fit-rm"):
        app([stage, *few], standalone_mode=False)
    (fit,) = (tmp_path / "made" / "fit_rm").glob("[!.]*")
    out = tmp_path / "out.jsonl"
    assert (
        cli("bench", "--suite", "rm-bench", file_of(tmp_path, "rm-bench"), "--head", fit, "--out", out).code
        == 0
    )
    sums = [sum(row["score_chosen"] + row["score_rejected"]) for row in read(out)]
    assert np.std(sums) < 1e-4 * max(1.0, abs(np.mean(sums)))


def test_the_suites_are_those_of_the_command_line():
    from rmlab.commands.suites import SuiteName

    assert sorted(SuiteName) == sorted(SUITES) == sorted(ROWS)


def test_the_page_on_benchmarks_runs_as_printed(cli, head, tmp_path, monkeypatch):
    commit = "0123456789abcdef0123456789abcdef01234567"
    for suite in SUITES.values():
        rows = ROWS[suite.name]()
        if suite.name == "rewardbench":  # a file of a dataset has one type in a column
            rows = [{**row, "prompt": f"Question {k // 2}?"} for k, row in enumerate(rows)]
        root = tmp_path / "hub" / f"datasets--{suite.dataset.replace('/', '--')}"
        splits = {"gpt": rows, "claude": rows[:6]} if suite.split == "gpt" else {suite.split: rows}
        dataset(root / "snapshots" / commit, splits)
        (root / "refs").mkdir()
        (root / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)
    RewardModel.load(head).save(tmp_path / "my-reward-model")
    write_rows(tmp_path / "rb2.jsonl", ROWS["rewardbench2"]())
    write_tiny_classifier(tmp_path / "ORG" / "NAME")
    names = run_page("bench.md", cli)
    assert len(names["printed"]) == 4 and all("judged: " in text for text in names["printed"])
    assert len(read(tmp_path / "rows.jsonl")) == 21
    assert 0 < names["results"].overall.low < names["results"].overall.score < 1.01


def test_the_page_on_benchmarks_names_every_dataset_and_option():
    text = (ROOT / "docs" / "bench.md").read_text(encoding="utf-8")
    for suite in SUITES.values():
        assert f"| `{suite.name}` |" in text and f"`{suite.dataset}`, {suite.split}" in text


def test_from_python(cli, head, suite, tmp_path):
    source, out = file_of(tmp_path, suite), tmp_path / "out.jsonl"
    told = cli("bench", "--suite", suite, source, "--head", head, "--out", out, "--json").json
    by_folder = rmlab.bench(suite, source, head=str(head), progress=False)
    by_model = rmlab.bench(suite, source, head=RewardModel.load(head), progress=False)
    assert by_folder.facts == by_model.facts == told | {"out": None}
    assert by_model.rows == read(out) and list(by_model.scores["score"]) == [
        x["score"] for x in told["scores"]
    ]
    assert f"{by_model.overall.score:.3f}" in repr(by_model) and "<table" in by_model._repr_html_()
    plain = rmlab.bench(suite, source, LENGTH, limit=5, seed=2, progress=False)
    assert plain.facts["prompts"] == 5 and plain.facts["judged"]["golden"] == "length"
