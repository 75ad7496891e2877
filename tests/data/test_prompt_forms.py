"""Text or messages: all rows of a file in one form, whatever kind of file it is."""

import json

import pandas as pd
import pytest

from rmlab.data.forms.items import read_items
from rmlab.data.prompts import read_prompts
from rmlab.errors import InputError
from rmlab.paths import user_path

USER = {"role": "user", "content": "a question"}
TALK = [{"role": "system", "content": "be short"}, USER]
KINDS = ("jsonl", "csv", "parquet")


def write(folder, kind, rows):
    """Absent values are absent in JSONL, null in Parquet and nothing in CSV."""
    path = folder / f"p.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif kind == "csv":
        rows = [{k: v if isinstance(v, str) else json.dumps(v) for k, v in row.items()} for row in rows]
        pd.DataFrame(rows).to_csv(path, index=False)
    else:
        pd.DataFrame(rows).to_parquet(path)
    return path


def refused(path):
    with pytest.raises(InputError) as found:
        read_prompts(path, 0.2)
    assert "\n" not in str(found.value)
    return str(found.value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text_first", [True, False])
def test_text_among_messages_is_one_line_with_both_rows(tmp_path, kind, text_first):
    rows = [{"prompt": "a"}, {"prompt": "b"}, {"messages": TALK}, {"prompt": "c"}]
    if not text_first:
        rows = [{"messages": [USER]}, {"messages": TALK}, {"prompt": "a"}]
    line = refused(write(tmp_path, kind, rows))
    this, other = ("messages", "text") if text_first else ("text", "messages")
    assert f"p.{kind}, row 3: its prompt is {this} and that of row 1 is {other}; give all rows" in line


def test_messages_in_the_column_prompt_are_messages(tmp_path):
    rows = [{"messages": TALK}, {"prompt": [USER]}]
    assert len(read_prompts(write(tmp_path, "jsonl", rows), 0.2)) == 2
    assert "row 3: its prompt is text" in refused(write(tmp_path, "jsonl", [*rows, {"prompt": "a"}]))


@pytest.mark.parametrize("kind", KINDS)
def test_files_in_one_form_are_read(tmp_path, kind):
    talks = [[{"role": "user", "content": f"question {i}"}] for i in range(3)]
    for rows in ([{"messages": t} for t in talks], [{"prompt": t[0]["content"]} for t in talks]):
        assert [p.messages for p in read_prompts(write(tmp_path, kind, rows), 0.2)] == talks


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_with_neither_is_one_line(tmp_path, kind):
    line = refused(write(tmp_path, kind, [{"prompt": "a", "split": "train"}, {"split": "train"}]))
    assert "row 2: " in line and ("no 'prompt'" in line or "'prompt' is empty" in line)


@pytest.mark.parametrize("kind", KINDS)
def test_both_may_be_given_where_they_agree(tmp_path, kind):
    rows = [{"messages": TALK, "prompt": "a question"}, {"messages": [USER, *TALK[:1], USER]}]
    found = read_prompts(write(tmp_path, kind, rows), 0.2)
    assert [p.messages for p in found] == [r["messages"] for r in rows]
    line = refused(write(tmp_path, kind, [rows[1], {"messages": TALK, "prompt": "another"}]))
    assert "row 2: its 'prompt' is not in its 'messages'; keep one of the two" in line


def test_both_as_messages_must_be_equal(tmp_path):
    assert len(read_prompts(write(tmp_path, "jsonl", [{"messages": TALK, "prompt": TALK}]), 0.2)) == 1
    line = refused(write(tmp_path, "jsonl", [{"messages": TALK, "prompt": [USER]}]))
    assert "row 1: its 'prompt' is not in its 'messages'" in line


@pytest.mark.parametrize(
    ("value", "problem"), [("{", "is not JSON"), ('"text"', "must be a list"), ("7", "must be a list")]
)
def test_messages_that_are_no_list_are_one_line(tmp_path, value, problem):
    assert f"row 1: 'messages' {problem}" in refused(write(tmp_path, "jsonl", [{"messages": value}]))
    assert "row 1: 'messages' must be a list" in refused(write(tmp_path, "jsonl", [{"messages": 7}]))


@pytest.mark.parametrize("name", ["openings", "questions"])
def test_shipped_prompts_have_one_form(name):
    assert len(read_prompts(user_path(f"shipped:prompts/{name}.jsonl"), 0.2)) > 50


def answer(text):
    return {"role": "assistant", "content": text}


def said(path, form="auto"):
    return [(i.messages, [a.text for a in i.answers]) for i in read_items(path, form).items]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("repeated", ["chosen", "rejected"])
def test_binarised_rows_have_a_conversation_twice(tmp_path, kind, repeated):
    row = {"prompt": "a question", "chosen": [*TALK, answer("good")], "rejected": [*TALK, answer("bad")]}
    path = write(tmp_path, kind, [row | {"messages": row[repeated]}])
    assert said(path) == [(TALK, ["good", "bad"])]


@pytest.mark.parametrize("prompt", ["a question", [USER]])
def test_conversations_in_csv_are_json(tmp_path, prompt):
    rows = [{"prompt": prompt, "chosen": [answer("good")], "rejected": [answer("bad")]}]
    assert said(write(tmp_path, "csv", rows)) == [([USER], ["good", "bad"])]
    # one answer of the two may well be JSON
    texts = {"prompt": "a question", "chosen": json.dumps([answer("good")]), "rejected": "[no]"}
    assert said(write(tmp_path, "csv", [texts])) == [([USER], [texts["chosen"], "[no]"])]


def test_messages_in_csv_are_json_in_every_form(tmp_path):
    talk, said_so = json.dumps(TALK), json.dumps([answer("good")])
    row = {"prompt": talk, "response": said_so, "score": 1}
    rows = [row, row | {"response": json.dumps([answer("bad")]), "score": 0}]
    assert said(write(tmp_path, "csv", rows), "scored") == [(TALK, ["good", "bad"])]
    # under another name, and beside answers that are texts
    texts = {"ask": talk, "response": "good", "score": 1}
    path = write(tmp_path, "csv", [texts, texts | {"response": "bad", "score": 0}])
    [item] = read_items(path, "scored", names={"prompt": "ask"}).items
    assert (item.messages, [a.text for a in item.answers]) == (TALK, ["good", "bad"])
    labelled = {"prompt": talk, "completion": said_so, "label": "true"}
    assert (
        said(write(tmp_path, "csv", [labelled, labelled | {"label": "false"}]), "unpaired")[0][1]
        == ["good"] * 2
    )
    # a text column of another name beside a pair changes nothing
    pair = {"prompt": talk, "chosen": said_so, "rejected": json.dumps([answer("bad")]), "response": "text"}
    assert said(write(tmp_path, "csv", [pair]), "preference") == [(TALK, ["good", "bad"])]


def test_an_answer_that_looks_like_messages_is_a_text_beside_prompts_of_text(tmp_path):
    for text in (json.dumps([answer("good")]), '[{"role": "bot", "content": "x"}]'):
        rows = [{"prompt": "q", "response": text, "score": 1}, {"prompt": "q", "response": "b", "score": 0}]
        assert said(write(tmp_path, "csv", rows), "scored")[0][1] == [text, "b"]
        assert said(write(tmp_path, "csv", rows[::-1]), "scored")[0][1] == ["b", text]


def test_messages_as_python_prints_them_are_refused(tmp_path):
    path = write(tmp_path, "csv", [{"prompt": str(TALK), "response": "a", "score": 1}])
    with pytest.raises(InputError, match="row 1: 'prompt' holds messages as Python prints them"):
        said(path, "scored")


def test_prompts_in_csv_may_be_messages(tmp_path):
    talk = json.dumps(TALK)
    assert [p.messages for p in read_prompts(write(tmp_path, "csv", [{"messages": talk}]), 0.0)] == [TALK]


def test_whole_dialogues_beside_a_prompt_need_a_form(tmp_path):
    row = {side: f"\n\nHuman: Hi?\n\nAssistant: {side}" for side in ("chosen", "rejected")}
    path = write(tmp_path, "jsonl", [{"prompt": "Hi?", **row}])
    with pytest.raises(InputError, match="match the forms hh or preference; name one"):
        said(path)
    assert said(path, "hh") == [([{"role": "user", "content": "Hi?"}], ["chosen", "rejected"])]


def test_the_id_of_an_annotator_is_no_vote(tmp_path):
    row = {"prompt": "q", "response_a": "a", "response_b": "b", "annotator_id": "x7"}
    assert read_items(write(tmp_path, "jsonl", [row | {"votes_a": 2, "votes_b": 1}])).form == "votes"
    [item] = read_items(write(tmp_path, "jsonl", [row | {"annotator_1": "a"}])).items
    assert [a.score for a in item.answers] == [1, 0]
    with pytest.raises(InputError, match="match no known form"):
        read_items(write(tmp_path, "jsonl", [row]))


def test_a_dialogue_that_ends_with_the_human_may_be_left_out(tmp_path):
    good = {side: f"\n\nHuman: Hi?\n\nAssistant: {side}" for side in ("chosen", "rejected")}
    path = write(tmp_path, "jsonl", [good, good | {"rejected": "\n\nHuman: Hi?\n\nAssistant: a\n\nHuman: b"}])
    found = read_items(path, unusable="drop")
    assert len(found.items) == 1 and sum(found.left_out.values()) == 1
    with pytest.raises(InputError, match="row 2: 'rejected' ends with Human:.*unusable=drop"):
        read_items(path)
