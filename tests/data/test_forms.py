"""Every public form of preference data comes to the same: prompts with answers that scores put in order."""

import gzip
import json
import math
import os
from pathlib import Path

import pandas as pd
import pytest
from form_rows import FORMS, N, assistant, dialogue, rows_of, user, write
from hypothesis import given, settings
from hypothesis import strategies as st

from rmlab.data.forms.items import pairs_and_ties, read_items
from rmlab.data.forms.preference import hh_item
from rmlab.data.forms.recognise import recognise
from rmlab.data.forms.summary import summarise
from rmlab.data.prompts import content_id
from rmlab.errors import InputError


def read(tmp_path, rows, **how):
    return list(read_items(write(tmp_path / "f.jsonl", rows), **how).items)


def said(item):
    return [(a.text, a.score) for a in item.answers]


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_recognised_and_read_alike_by_its_name(tmp_path, form):
    path = write(tmp_path / "f.jsonl", rows_of(form))
    assert recognise(path) == form
    found = read_items(path)
    assert found.form == form and found.rows == N
    assert list(found.items) == list(read_items(path, form).items)


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_the_same_in_parquet_and_compressed(tmp_path, form):
    expected = list(read_items(write(tmp_path / "f.jsonl", rows_of(form))).items)
    (tmp_path / "f.jsonl.gz").write_bytes(gzip.compress((tmp_path / "f.jsonl").read_bytes()))
    pd.DataFrame(rows_of(form)).to_parquet(tmp_path / "f.parquet")
    for name in ("f.jsonl.gz", "f.parquet"):
        found = list(read_items(tmp_path / name).items)
        assert [(i.prompt_id, i.messages, i.answers, i.group) for i in found] == [
            (i.prompt_id, i.messages, i.answers, i.group) for i in expected
        ]


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_the_same_in_csv(tmp_path, form):
    rows = [{k: json.dumps(v) if isinstance(v, list) else v for k, v in r.items()} for r in rows_of(form)]
    pd.DataFrame(rows).to_csv(tmp_path / "f.csv", index=False)
    expected = read(tmp_path, rows_of(form))
    assert [said(i) for i in read_items(tmp_path / "f.csv").items] == [said(i) for i in expected]


def test_of_a_dialogue_all_but_the_last_answer_is_the_prompt(tmp_path):
    [item] = read(tmp_path, rows_of("hh")[:1])
    assert item.messages == [user("question 0"), assistant("first 0"), user("and then?")]
    assert said(item) == [("good 0", 1.0), ("bad 0", 0.0)]
    assert item.group == content_id([user("question 0")]) and not item.is_text


def test_turns_in_a_row_of_one_speaker_are_one_message(tmp_path):
    start = "\n\nHuman: a\n\nHuman: b\n\nAssistant: c"
    [item] = read(tmp_path, [{"chosen": start + "\n\nAssistant: d", "rejected": start}])
    assert item.messages == [user("a\n\nb")] and said(item) == [("c\n\nd", 1.0), ("c", 0.0)]


WORDS = (
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
    .map(str.strip)
    .filter(lambda t: t and "Human:" not in t and "Assistant:" not in t)
)


@given(st.lists(WORDS, min_size=0, max_size=4).map(lambda t: t[: len(t) // 2 * 2]), WORDS, WORDS, WORDS)
def test_dialogues_come_back_as_their_turns(before, question, good, bad):
    row = {
        side: dialogue(*before, question, answer) for side, answer in (("chosen", good), ("rejected", bad))
    }
    item = hh_item(row, "here")
    assert [m["content"] for m in item.messages] == [*before, question]
    assert [m["role"] for m in item.messages] == [
        ("user", "assistant")[k % 2] for k in range(len(before) + 1)
    ]
    assert [a.text for a in item.answers] == [good, bad]


TURNS = st.lists(st.sampled_from(["a", "b", "long\n\nHuman: text"]), min_size=1, max_size=3)


@settings(deadline=None)  # the first example imports TRL
@given(TURNS, st.sampled_from("xy"), st.sampled_from("zw"))
def test_an_implicit_prompt_of_messages_is_trl_s(tmp_path_factory, turns, good, bad):
    from trl.data_utils import extract_prompt, is_conversational

    talk = [m for t in turns for m in (user(t), assistant(f"re {t}"))][:-1]
    row = {"chosen": [*talk, assistant(good)], "rejected": [*talk, assistant(bad)]}
    expected = extract_prompt(row)
    assert is_conversational(row)
    [item] = read(tmp_path_factory.mktemp("f"), [row])
    assert item.messages == expected["prompt"] and not item.is_text
    assert [[assistant(a.text)] for a in item.answers] == [expected["chosen"], expected["rejected"]]


SHARED = st.text("ab c", min_size=1, max_size=8).filter(str.strip)


@settings(deadline=None)
@given(SHARED, st.text("ab x", max_size=5), st.text("ab y", max_size=5))
def test_an_implicit_prompt_of_text_is_trl_s(tmp_path_factory, prompt, good, bad):
    from trl.data_utils import extract_prompt, is_conversational

    row = {"chosen": prompt + good + "1", "rejected": prompt + bad + "2"}
    expected = extract_prompt(row)
    assert not is_conversational(row)
    [item] = read(tmp_path_factory.mktemp("f"), [row])
    assert item.messages == [user(expected["prompt"])] and item.is_text
    assert [a.text for a in item.answers] == [expected["chosen"], expected["rejected"]]


TALK = [{"role": "system", "content": "be short"}, user("q"), assistant("r"), user("s")]


@pytest.mark.parametrize(
    ("row", "messages", "is_text"),
    [
        ({"prompt": "s", "chosen": "a", "rejected": "b"}, [user("s")], True),
        ({"prompt": TALK, "chosen": [assistant("a")], "rejected": [assistant("b")]}, TALK, False),
        ({"prompt": TALK, "chosen": "a", "rejected": "b"}, TALK, False),
        ({"prompt": "s", "chosen": [assistant("a")], "rejected": [assistant("b")]}, [user("s")], False),
        # the prompt repeats what the conversations begin with
        (
            {"prompt": "s", "chosen": [*TALK, assistant("a")], "rejected": [*TALK, assistant("b")]},
            TALK,
            False,
        ),
        (
            {"prompt": TALK, "chosen": [*TALK, assistant("a")], "rejected": [*TALK, assistant("b")]},
            TALK,
            False,
        ),
        ({"chosen": [*TALK, assistant("a")], "rejected": [*TALK, assistant("b")]}, TALK, False),
    ],
)
def test_preferences_in_every_shape(tmp_path, row, messages, is_text):
    [item] = read(tmp_path, [row])
    assert item.messages == messages and item.is_text == is_text
    assert said(item) == [("a", 1.0), ("b", 0.0)]
    assert item.group == content_id([next(m for m in messages if m["role"] == "user")])


def test_scores_beside_a_preference_count_and_equal_ones_are_a_tie(tmp_path):
    rows = [
        {"prompt": "q", "chosen": "a", "rejected": "b", "score_chosen": 3, "score_rejected": s}
        for s in (1, 3)
    ]
    found = read(tmp_path, rows)
    assert [said(i) for i in found] == [[("a", 3.0), ("b", 1.0)], [("a", 3.0), ("b", 3.0)]]
    assert [pairs_and_ties(i) for i in found] == [(1, 0), (0, 1)]


def test_the_best_rank_has_the_highest_score(tmp_path):
    rows = [
        {
            "prompt": "q",
            "completions": [[assistant("a")], [assistant("b")], [assistant("c")]],
            "ranks": [3, 1, 1],
        }
    ]
    [item] = read(tmp_path, rows)
    assert said(item) == [("a", -3.0), ("b", -1.0), ("c", -1.0)] and pairs_and_ties(item) == (2, 1)
    [item] = read(tmp_path, [{"prompt": "q", "responses": ["a", "b"], "scores": [0.2, -1]}])
    assert said(item) == [("a", 0.2), ("b", -1.0)]


@pytest.mark.parametrize(
    ("votes", "share"),
    [
        ({"votes": ["a", "a", "b", "tie"]}, 2.5 / 4),
        ({"votes": [0, 1, 1]}, 1 / 3),
        ({"votes": [0.0, 1.0, 0.0]}, 2 / 3),
        ({"votes_a": 3, "votes_b": 1}, 0.75),
        ({"votes_a": 1, "votes_b": 1, "votes_tie": 2}, 0.5),
        ({"annotator_1": "a", "annotator_2": None, "annotator_3": "b", "annotator_4": "A"}, 2 / 3),
    ],
)
def test_scores_are_shares_of_votes(tmp_path, votes, share):
    [item] = read(tmp_path, [{"prompt": "q", "response_a": "x", "response_b": "y", **votes}])
    assert [a.score for a in item.answers] == pytest.approx([share, 1 - share])
    assert pairs_and_ties(item) == ((0, 1) if share == 0.5 else (1, 0))


def test_labels_of_one_prompt_are_one_item(tmp_path):
    rows = [{"prompt": "q", "completion": c, "label": c != "b"} for c in "abc"]
    [item] = read(tmp_path, rows)
    assert said(item) == [("a", 1.0), ("b", 0.0), ("c", 1.0)] and pairs_and_ties(item) == (2, 1)


def test_scored_rows_keep_their_ids_and_failed_scores(tmp_path):
    rows = [
        {"prompt_id": "p", "prompt": "q", "response_id": "x", "response": "a", "score": 1},
        {"prompt_id": "p", "prompt": "q", "response": "b", "score": math.nan},
        {"prompt_id": "p", "prompt": "q", "response": "b", "score": 2},
    ]
    [item] = read(tmp_path, rows)
    assert (item.prompt_id, item.group, item.answers[0].response_id) == ("p", "p", "x")
    assert len({a.response_id for a in item.answers}) == 3 and math.isnan(item.answers[1].score)
    assert pairs_and_ties(item) == (1, 0)


@pytest.mark.parametrize("form", ["hh", "preference", "ranking", "votes"])
def test_records_that_share_a_prompt_are_items_of_one_group(tmp_path, form):
    first = rows_of(form)[0]
    found = read(tmp_path, [first, first, rows_of(form)[1]])
    assert len({i.prompt_id for i in found}) == 3 == len({i.answers[0].response_id for i in found})
    assert found[0].group == found[1].group != found[2].group
    assert [i.prompt_id for i in read(tmp_path, [rows_of(form)[1], first, first])[1:]] == [
        i.prompt_id for i in found[:2]
    ]


def test_a_group_that_is_given_counts(tmp_path):
    rows = [{**row, "group": 7, "split": "validation"} for row in rows_of("preference")]
    assert {(i.group, i.split) for i in read(tmp_path, rows)} == {("7", "validation")}


def test_ids_depend_on_what_was_said_and_preferred(tmp_path):
    row = {"prompt": "q", "chosen": "a", "rejected": "b"}
    others = [
        row,
        {**row, "chosen": "c"},
        {**row, "prompt": "r"},
        {**row, "score_chosen": 2, "score_rejected": 0},
    ]
    assert len({i.prompt_id for i in read(tmp_path, others)}) == 4


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [{"question": "a", "answer": "b"}],
            r"its columns \(answer, question\) match no known form; name one with form=hh",
        ),
        (
            [{"prompt": "q", "response": "a", "score": 1, "chosen": "a", "rejected": "b"}],
            "match the forms preference or scored",
        ),
        ([{"prompt": "q"}], "has prompts without answers"),
    ],
)
def test_what_is_unclear_asks_for_the_form(tmp_path, rows, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, rows)


TRIAL = os.environ.get("RMLAB_TRIAL_DATA")
needs_trial_data = pytest.mark.skipif(not TRIAL, reason="RMLAB_TRIAL_DATA names no folder with trial data")


def summary(name, **how):
    from rmlab.config.hydra import load_settings

    found = load_settings(["experiment=imported", "input=x"])
    return summarise(read_items(Path(TRIAL) / name, **how), found.prompts, found.validation)


@needs_trial_data
def test_all_human_pairs_are_accounted_for():
    with pytest.raises(InputError, match="an answer is empty; .* unusable=drop"):
        summary("hh_harmless_pairs.jsonl.gz")
    found = summary("hh_harmless_pairs.jsonl.gz", unusable="drop")
    assert (found.form, found.rows, found.pairs, found.ties) == ("hh", 1632, 1629, 0)
    assert (found.items, found.train + found.test) == (1629, 1629)
    assert found.left_out == {"an answer is empty": 3}


@needs_trial_data
def test_judged_responses_have_their_score_in_a_column_of_another_name():
    with pytest.raises(InputError, match="row 330: an answer is empty; .* unusable=drop"):
        summary("alpaca_gpt4_judged.parquet", column="golden")
    found = summary("alpaca_gpt4_judged.parquet", column="golden", unusable="drop")
    assert (found.form, found.rows, found.items, found.answers) == ("scored", 3664, 229, 3656)
    assert found.left_out == {"an answer is empty": 8}
