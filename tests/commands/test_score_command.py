"""rmlab score: every form of data, to every place, and what is wrong in one line."""

import io
import json
import sys
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from small_settings import SMALL

import rmlab
from rmlab import RewardModel
from rmlab.cli import app

PAIRS = [
    {"prompt": "How are you?", "chosen": "good and happy", "rejected": "sad"},
    {"prompt": "How are you?", "chosen": "very good", "rejected": "awful"},
    {"prompt": "Where?", "chosen": "here", "rejected": "nowhere"},
]


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    out = tmp_path_factory.mktemp("score")
    for stage in ("sample", "annotate", "embed", "fit-rm", "eval-rm"):
        app([stage, *SMALL, "sft=none", f"out={out}"], standalone_mode=False)
    return next((out / "fit_rm").glob("linear*"))


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_preferences_are_scored_and_their_accuracy_told(cli, head, tmp_path):
    source, out = write(tmp_path / "pairs.jsonl", PAIRS), tmp_path / "scores.parquet"
    found = cli("score", source, "--head", head, "--out", out, "--json")
    assert found.code == 0
    table = pq.read_table(out).to_pydict()
    prompts = [row["prompt"] for row in PAIRS for _ in range(2)]
    answers = [row[side] for row in PAIRS for side in ("chosen", "rejected")]
    scores = RewardModel.load(head).score(prompts, answers)
    np.testing.assert_array_equal(table["score"], scores)
    assert table["row"] == [1, 1, 2, 2, 3, 3]
    assert table["preference"] == [1.0, 0.0] * 3
    right = np.where(scores[::2] == scores[1::2], 0.5, scores[::2] > scores[1::2])
    accuracy = found.json["accuracy"]
    assert accuracy["accuracy"] == pytest.approx((right[:2].mean() + right[2]) / 2)
    assert (accuracy["pairs"], accuracy["prompts"]) == (3, 2)
    assert accuracy["low"] <= accuracy["accuracy"] <= accuracy["high"]


def test_without_a_file_json_lines_are_printed(cli, head, tmp_path):
    found = cli("score", write(tmp_path / "pairs.jsonl", PAIRS), "--head", head)
    rows = [json.loads(line) for line in found.out.splitlines()]
    assert [row["row"] for row in rows] == [1, 1, 2, 2, 3, 3]
    assert "accuracy" in found.err
    out = tmp_path / "scores.jsonl"
    assert cli("score", tmp_path / "pairs.jsonl", "--head", head, "--out", out).code == 0
    assert [json.loads(line) for line in out.read_text().splitlines()] == rows


FORMS = [
    ([{"prompt": "a", "response": "good"}], 1),
    (
        [{"prompt": "a", "response": "good", "score": 2.0}, {"prompt": "a", "response": "bad", "score": 1.0}],
        2,
    ),
    ([{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "good"}]}], 1),
    ([{"prompt": "a", "completion": "good"}], 1),
    (
        [
            {"prompt": "a", "completion": "good", "label": True},
            {"prompt": "a", "completion": "bad", "label": False},
        ],
        2,
    ),
    ([{"prompt": "a", "responses": ["good", "bad", "so"], "ranks": [1, 2, 3]}], 3),
    ([{"chosen": "\n\nHuman: a\n\nAssistant: good", "rejected": "\n\nHuman: a\n\nAssistant: bad"}], 2),
]


@pytest.mark.parametrize(("rows", "n"), FORMS)
def test_all_forms_are_read_without_a_split(cli, head, tmp_path, rows, n):
    found = cli("score", write(tmp_path / "rows.jsonl", rows), "--head", head)
    assert found.code == 0
    assert len(found.out.splitlines()) == n
    assert ("accuracy" in found.err) == (n > 1)


def test_standard_input(cli, head, monkeypatch):
    def given(text):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))
        return cli("score", "-", "--head", head)

    assert len(given('{"prompt": "a", "response": "good"}\n').out.splitlines()) == 1
    assert "standard input is empty" in given("").line
    assert "standard input, row 1: no response" in given('{"prompt": "a"}\n').line


def test_a_saved_model_scores_alike(cli, head, tmp_path):
    source = write(tmp_path / "pairs.jsonl", PAIRS)
    RewardModel.load(head).save(tmp_path / "model")
    assert cli("score", source, "--head", tmp_path / "model").out == cli("score", source, "--head", head).out


def test_columns_with_names_of_their_own_and_rows_without_a_response(cli, head, tmp_path):
    names = {"prompt": "ask", "response": "say", "score": "stars"}
    rows = [{"ask": "Where?", "say": text, "stars": k} for k, text in enumerate(("here", " ", "nowhere"))]
    options = [word for ours, theirs in names.items() for word in ("--column", f"{ours}={theirs}")]
    source = write(tmp_path / "f.jsonl", rows)
    found = cli("score", source, "--head", head, *options)
    assert found.code == 3 and "row 2: an answer is empty" in found.line and "--unusable drop" in found.line
    found = cli("score", source, "--head", head, *options, "--unusable", "drop")
    assert "left out: 1, since an answer is empty" in found.err
    lines = [json.loads(line) for line in found.out.splitlines()]
    assert [(line["row"], line["preference"]) for line in lines] == [(1, 0.0), (3, 2.0)]
    np.testing.assert_array_equal(
        [line["score"] for line in lines], RewardModel.load(head).score(["Where?"] * 2, ["here", "nowhere"])
    )


BAD = [
    (
        '{"prompt": "a", "say": "b"}',
        ("--column", "response=sai"),
        3,
        "no column 'sai', which --column response",
    ),
    ('{"prompt": "a", "response": "b"}', ("--column", "answer=b"), 2, "no form has a column answer"),
    ('{"prompt": "a"}', (), 3, "row 1: no response"),
    ('{"prompt": "a", "response": 3}', (), 3, "row 1: 'response' must be text"),
    ('{"prompt": "a", "response": "b"}\n{"prompt": "a", "response": null}', (), 3, "row 2: no response"),
    ("", (), 3, "has no rows"),
    ("not json", (), 3, "not JSON"),
    ('{"prompt": "a", "response": "b"}', ("--out", "x.csv"), 2, "ends with .parquet or .jsonl"),
    ('{"prompt": "a", "response": "b"}', ("--json",), 2, "--out"),
    ('{"prompt": "a", "response": "b"}', ("--base-model", "x"), 2, "reads no model"),
    ('{"prompt": "a", "response": "b"}', ("--form", "mine"), 2, "there is no form mine; give auto, prompts"),
    ('{"prompt": "a", "response": "b"}', ("--out", "rows.jsonl"), 2, "is the file that is scored"),
    ('{"prompt": "a", "chosen": "b"}', (), 3, "row 1: no response"),
    ('{"prompt": "a", "chosen": "b", "rejected": "c"}\n{"prompt": "a"}', (), 3, "row 2: no 'chosen'"),
    ('{"instruction": "a", "output": "b"}', (), 3, "row 1: no response"),
    ("[1, 2]", (), 3, "line 1: expected an object"),
]


@pytest.mark.parametrize(("text", "more", "code", "words"), BAD)
def test_bad_input_ends_in_one_line_and_writes_nothing(
    cli, head, tmp_path, text, more, code, words, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text(text)
    out = () if more[:1] in (("--out",), ("--json",)) else ("--out", "scores.parquet")
    found = cli("score", "rows.jsonl", "--head", head, *out, *more)
    assert (found.code, words in found.line) == (code, True), found.line
    assert (tmp_path / "rows.jsonl").read_text() == text
    assert [p.name for p in tmp_path.iterdir()] == ["rows.jsonl"]


def test_no_head_there(cli, tmp_path):
    source = write(tmp_path / "pairs.jsonl", PAIRS)
    found = cli("score", source, "--head", tmp_path / "none")
    assert (found.code, "no such folder" in found.line) == (3, True)


@pytest.fixture(scope="module")
def neural(tmp_path_factory):
    """The artifacts of a head on a language model, whose longer texts are cut, and of its evaluation."""
    out = tmp_path_factory.mktemp("neural")
    model = ("embedder=transformers", "embedder.model=random-tiny", "embedder.max_tokens=24")
    few = (*SMALL, "sft=none", "arms=['head=linear']", f"out={out}", *model)
    for stage in ("sample", "annotate", "embed", "fit-rm", "eval-rm"):
        app([stage, *few], standalone_mode=False)
    return out


@pytest.mark.parametrize("embedder", ["hashing", "transformers"])
def test_scores_are_those_of_the_pipelines_own_evaluation(cli, head, neural, tmp_path, embedder):
    made = head.parents[1] if embedder == "hashing" else neural
    (prompts,), (texts,), (judged,) = (
        (made / stage).glob("[!.]*") for stage in ("prompts", "sample", "eval_rm")
    )
    messages = dict(
        zip(*rmlab.read(prompts, to="arrow").select(["prompt_id", "messages"]).to_pydict().values())
    )
    rows = [
        {"messages": messages[row["prompt_id"]], "response": row["text"], "response_id": row["response_id"]}
        for row in rmlab.read(texts, to="arrow").to_pylist()
    ]
    fit, out = next((made / "fit_rm").glob("linear-*")), tmp_path / "scores.parquet"
    assert cli("score", write(tmp_path / "texts.jsonl", rows), "--head", fit, "--out", out).code == 0
    found = pq.read_table(out).to_pandas().set_index("response_id")["score"]
    own = (
        rmlab.read(judged, "head_scores")
        .query("arm == 'linear-bradley_terry'")
        .set_index("response_id")["score"]
    )
    assert len(own) >= 36 and own.std() > 0.1
    np.testing.assert_allclose(found[own.index], own, atol=1e-5)


def test_a_text_that_is_too_long_is_named_by_its_row(cli, neural, tmp_path):
    rows = [{"prompt": "a", "response": "b"}, {"prompt": "a b " * 99, "response": "c"}]
    source, out = write(tmp_path / "long.jsonl", rows), tmp_path / "scores.parquet"
    head = next((neural / "fit_rm").glob("[!.]*"))
    refused = cli("score", source, "--head", head, "--out", out, "--long", "refuse")
    assert refused.code == 3 and f"{source}, row 2: its text is longer" in refused.line
    assert not out.exists()
    assert "1 were longer" in cli("score", source, "--head", head, "--out", out).out
    assert pq.read_table(out)["truncated"].to_pylist() == [False, True]


def test_one_prompt_gives_no_interval(cli, head, tmp_path):
    found = cli("score", write(tmp_path / "pairs.jsonl", PAIRS[:2]), "--head", head)
    assert "on 2 preferences of one prompt, which gives no interval" in found.err and "nan" not in found.err
    assert "give a file to score" in cli("score", "", "--head", head).line
    (tmp_path / "d.parquet").mkdir()
    said = cli("score", tmp_path / "pairs.jsonl", "--head", head, "--out", tmp_path / "d.parquet")
    assert (said.code, "is a folder" in said.line) == (2, True)
