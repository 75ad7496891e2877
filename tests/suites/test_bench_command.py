"""rmlab bench: every suite end to end, by heads and golden rewards, and what is wrong in one line."""

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
from suite_files import ROWS, write_rows, write_tiny_classifier

import rmlab
from rmlab import RewardModel
from rmlab.cli import app
from rmlab.embedders.hashing import _HashingSession as Hashing
from rmlab.reward.model import RewardModel as Model
from rmlab.suites.questions import SUITES

LENGTH = "golden=length"


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    """A linear head on hashed words."""
    out = tmp_path_factory.mktemp("bench")
    for stage in ("sample", "annotate", "embed", "fit-rm"):
        app([stage, *SMALL, "sft=none", "arms=['head=linear']", f"out={out}"], standalone_mode=False)
    return next((out / "fit_rm").glob("[!.]*"))


@pytest.fixture(params=ROWS)
def suite(request):
    return request.param


def file_of(tmp_path, suite):
    return write_rows(tmp_path / "rows.jsonl", ROWS[suite]())


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


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


def dataset(folder, splits):
    """A dataset as the hub has it, with the splits named in its card."""
    folder.mkdir(parents=True)
    lines = [f"  - split: {name}\n    path: {name}.jsonl\n" for name in splits]
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n" + "".join(lines) + "---\n"
    )
    for name, rows in splits.items():
        write_rows(folder / f"{name}.jsonl", rows)
    return folder


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


def without(column):
    return lambda row: {key: value for key, value in row.items() if key != column}


def but(**changed):
    return lambda row: {**row, **changed}


BAD_ROWS = [
    ("rewardbench", without("rejected"), "row 3: no 'rejected'"),
    ("rewardbench", but(chosen=None), "row 3: no 'chosen'"),
    ("rewardbench", but(chosen=7), "row 3: 'chosen' must be text, got int"),
    ("rewardbench", but(prompt=" "), "row 3: 'prompt' is empty"),
    ("rewardbench", without("prompt"), "row 3: no 'prompt'"),
    ("rewardbench", but(subset="hep-pyton"), "row 3: 'subset' is 'hep-pyton', which the suite does not have"),
    ("rewardbench", without("subset"), "row 3: no 'subset', and other rows have one"),
    ("rewardbench2", but(num_correct=2), "row 3: 'num_correct' is 2, but 'chosen' has 1 answers"),
    ("rewardbench2", but(num_correct=True), "row 3: 'num_correct' is True"),
    (
        "rewardbench2",
        but(total_completions=3),
        "row 3: 'total_completions' is 3, but 'chosen' and 'rejected' have 4",
    ),
    ("rewardbench2", but(rejected=[]), "row 3: 'rejected' has no answer"),
    ("rewardbench2", but(rejected=["a", None, "b"]), "row 3: answer 2 of 'rejected' is missing"),
    ("rewardbench2", but(chosen="a"), "row 3: 'chosen' is text, not a list"),
    ("rewardbench2", but(subset="Poetry"), "row 3: 'subset' is 'Poetry', which the suite does not have"),
    ("rewardbench2", but(subset="Ties"), "row 3: the id '2' of a row of Ties must be ref:N or tied:N"),
    ("rewardbench2", but(subset="Ties", id="ref:1"), "the id ref:1 of Ties is that of row 3 too"),
    ("rewardbench2", without("id"), "row 3: no 'id'"),
    ("rm-bench", but(chosen=["a", "b"]), "row 3: 'chosen' has 2 answers; the suite has 3 in each row"),
    ("rm-bench", but(domain="poetry"), "row 3: 'domain' is 'poetry', which the suite does not have"),
    ("rm-bench", without("domain"), "row 3: no 'domain', and other rows have one"),
    ("judgebench", but(label="A"), "row 3: 'label' is 'A', which the suite does not have"),
    ("judgebench", but(response_B=None), "row 3: no 'response_B'"),
    ("judgebench", but(question=""), "row 3: 'question' is empty"),
]


@pytest.mark.parametrize(
    ("suite", "change", "words"), BAD_ROWS, ids=lambda x: x[:50] if isinstance(x, str) else ""
)
def test_a_bad_row_is_named_and_nothing_is_written(cli, tmp_path, suite, change, words):
    rows = ROWS[suite]()
    rows[2] = change(rows[2])
    source, out = write_rows(tmp_path / "rows.jsonl", rows), tmp_path / "out.jsonl"
    found = cli("bench", "--suite", suite, source, LENGTH, "--out", out)
    assert (found.code, words in found.line) == (3, True), found.line
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


@pytest.mark.parametrize("other", ROWS)
def test_a_file_of_another_suite_says_which(cli, tmp_path, suite, other):
    found = cli("bench", "--suite", suite, file_of(tmp_path, other), LENGTH)
    if other == suite:
        assert found.code == 0
        return
    assert found.code == 3 and f"look like the suite {other}, not {suite}; give --suite {other}" in found.line


BAD_CALLS = [
    (("none.jsonl", LENGTH), 3, "none.jsonl does not exist"),
    (("empty.jsonl", LENGTH), 3, "empty.jsonl has no rows"),
    (("texts.jsonl", LENGTH), 3, "its columns (prompt, response) are of no suite; rewardbench needs"),
    (("rows.jsonl",), 2, "name what is judged: --head artifacts/fit_rm/NAME, or a golden reward"),
    (("rows.jsonl", "seed=1"), 2, "name what is judged"),
    (("rows.jsonl", LENGTH, "--head", "HEAD"), 2, "a head takes no settings, got golden=length"),
    (("rows.jsonl", LENGTH, "--device", "cpu"), 2, "give settings, such as device=cpu"),
    (("rows.jsonl", "golden=[length,sentiment]"), 2, "judges one golden reward, got length, sentiment"),
    (("rows.jsonl", "golden=weighted", "golden.weighted.weights={length:1}"), 2, "name one of its parts"),
    (("rows.jsonl", "golden=lenght"), 2, "golden=lenght: no such choice"),
    (("rows.jsonl", "golden=classifier", "golden.classifier.model=./none"), 3, "no such folder"),
    (("rows.jsonl", LENGTH, "--split", "test"), 2, "rows.jsonl is a file, which has no splits"),
    (("rows.jsonl", LENGTH, "--out", "x.csv"), 2, "--out x.csv: write a file that ends with .jsonl"),
    (("rows.jsonl", LENGTH, "--out", "rows.jsonl"), 2, "is the file that is scored"),
    (("rows.jsonl", "--head", "none"), 3, "no such folder"),
    (("rows.jsonl", "--head", "HEAD", "--base-model", "x"), 2, "reads no model"),
]


@pytest.mark.parametrize(
    ("words", "code", "said"), BAD_CALLS, ids=lambda x: " ".join(x) if isinstance(x, tuple) else ""
)
def test_a_bad_call_ends_in_one_line(cli, head, tmp_path, monkeypatch, words, code, said):
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "rows.jsonl", ROWS["rewardbench"]())
    write_rows(tmp_path / "texts.jsonl", [{"prompt": "a", "response": "b"}])
    (tmp_path / "empty.jsonl").write_text("")
    before = sorted(path.name for path in tmp_path.iterdir())
    found = cli("bench", "--suite", "rewardbench", *(str(head) if word == "HEAD" else word for word in words))
    assert (found.code, said in found.line) == (code, True), found.line
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_all_that_is_wrong_is_told_at_once(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = cli("bench", "--suite", "rewardbench", "none.jsonl", "--head", "none", "--out", "x.csv")
    assert found.code == 2 and found.err.count("rmlab: ") == 3


def test_scores_that_are_no_numbers_are_refused(cli, head, tmp_path, monkeypatch):
    source, out = file_of(tmp_path, "rewardbench"), tmp_path / "out.jsonl"
    (tmp_path / "odd_reward.py").write_text(
        "def reward(prompts, responses):\n    return [float('nan') if r.startswith('no') else 1.0 for r in responses]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    golden = ("golden=callable", "golden.callable.path=odd_reward.reward", "allow_modules=[odd_reward]")
    found = cli("bench", "--suite", "rewardbench", source, *golden, "--out", out)
    assert (
        found.code == 3
        and "gave no score for" in found.line
        and "row 1: answer 2 (the reward is nan)" in found.line
    )
    whole = Model.score_exchanges

    def broken(*arguments):
        scored = whole(*arguments)
        scored.score[3] = np.inf
        return scored

    monkeypatch.setattr(Model, "score_exchanges", broken)
    found = cli("bench", "--suite", "rewardbench", source, "--head", head, "--out", out)
    assert found.code == 3 and "gave NaN or infinity for" in found.line and "row 2: answer 2" in found.line
    assert not out.exists()


def test_a_head_of_imported_embeddings_reads_no_texts(cli, head, tmp_path):
    model = RewardModel.load(head)
    imported = replace(model.origin, embedder={"_name_": "file", "column": "embedding"})
    replace(model, origin=imported).save(tmp_path / "model")
    found = cli(
        "bench", "--suite", "rewardbench", file_of(tmp_path, "rewardbench"), "--head", tmp_path / "model"
    )
    assert found.code == 3 and "embeddings that were imported from a file" in found.line


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


@pytest.mark.parametrize(
    "place", ["../other.jsonl", "https://127.0.0.1:9/x.jsonl", "hf://datasets/a/b/x.jsonl"]
)
def test_a_card_leads_nowhere_else(cli, tmp_path, place):
    folder = dataset(tmp_path / "set", {"test": ROWS["rm-bench"]()})
    shutil.copy(folder / "test.jsonl", tmp_path / "other.jsonl")
    card = (folder / "README.md").read_text()
    (folder / "README.md").write_text(card.replace("path: test.jsonl", f"path: '{place}'"))
    found = cli("bench", "--suite", "rm-bench", folder, LENGTH)
    assert found.code == 3 and f"names data outside of its folder ({place})" in found.line
    (folder / "README.md").write_text("---\n[\n---\n")
    assert "README.md cannot be read" in cli("bench", "--suite", "rm-bench", folder, LENGTH).line
    (folder / "README.md").unlink()
    many = "".join(f"- &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 30))
    (folder / ".huggingface.yaml").write_text(
        f"x:\n- &a0 ['{place}']\n{many}configs:\n- config_name: default\n  data_files: *a29\n"
    )
    found = cli("bench", "--suite", "rm-bench", folder, LENGTH)
    assert f".huggingface.yaml names data outside of its folder ({place})" in found.line


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


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        (
            ("rewardbench3", "rows.jsonl", LENGTH),
            {},
            "there is no suite rewardbench3; give one of rewardbench,",
        ),
        (("rewardbench", "rows.jsonl"), {}, "name what is judged"),
        (("rewardbench", "rows.jsonl", LENGTH), {"limit": 0}, "draw at least 1 prompt"),
        (("rewardbench", "rows.jsonl", LENGTH), {"long": "drop"}, "long must be cut or refuse"),
        (("rewardbench", "rows.jsonl", LENGTH, 3), {}, "an override must be text"),
    ],
)
def test_a_bad_call_from_python(tmp_path, monkeypatch, arguments, options, said):
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "rows.jsonl", ROWS["rewardbench"]())
    with pytest.raises(rmlab.ConfigError, match=said):
        rmlab.bench(*arguments, **options)
