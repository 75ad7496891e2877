"""Columns that a file names otherwise, for every form and every reader; and one rule for empty answers."""

import json
import math

import pandas as pd
import pytest
from form_rows import FORMS, N, dialogue, rows_of, write

from rmlab.commands.options import columns_of
from rmlab.config.hydra import load_settings
from rmlab.config.settings import COLUMN_NAMES
from rmlab.data.forms.items import form_prompts, read_items
from rmlab.errors import ConfigError, InputError
from rmlab.goldens.file import FileGolden
from rmlab.models.compute import Compute
from rmlab.models.text.rendering import Exchange
from rmlab.reward.rows import read_score_rows
from rmlab.samplers.recorded import FileSampler


def renamed(rows):
    """The rows with a name of one's own for each column, and these names."""
    names = {column: f"Our {column}" for row in rows for column in row}
    return [{names[column]: value for column, value in row.items()} for row in rows], names


def as_csv(path, rows):
    cells = [{k: json.dumps(v) if isinstance(v, list) else v for k, v in row.items()} for row in rows]
    pd.DataFrame(cells).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("form", FORMS)
def test_columns_of_every_form_may_have_names_of_their_own(tmp_path, form, kind):
    rows, names = renamed(rows_of(form))
    path = tmp_path / f"f.{kind}"
    if kind == "parquet":
        pd.DataFrame(rows).to_parquet(path)
    else:
        (as_csv if kind == "csv" else write)(path, rows)
    expected = list(read_items(write(tmp_path / "e.jsonl", rows_of(form))).items)
    found = read_items(path, names=names)
    assert found.form == form
    said = [(i.prompt_id, i.messages, i.answers, i.group, i.number) for i in found.items]
    assert said == [(i.prompt_id, i.messages, i.answers, i.group, i.number) for i in expected]


@pytest.mark.parametrize("form", FORMS)
def test_every_column_of_a_form_can_be_named(form):
    assert {column for row in rows_of(form) for column in row} <= set(COLUMN_NAMES)


def test_names_of_columns_may_change_places(tmp_path):
    path = write(tmp_path / "f.jsonl", [{"prompt": "q", "chosen": "bad", "rejected": "good"}])
    [item] = read_items(path, names={"chosen": "rejected", "rejected": "chosen"}).items
    assert [(a.text, a.score) for a in item.answers] == [("good", 1.0), ("bad", 0.0)]


def test_a_column_in_use_gives_way_to_the_one_that_is_named(tmp_path):
    rows = [{"prompt": "the template", "question": f"q {i}"} for i in range(4)]
    words = ["prompts=file", f"prompts.path={write(tmp_path / 'p.jsonl', rows)}", "columns.prompt=question"]
    found, _ = form_prompts(tmp_path / "p.jsonl", load_settings(words).prompts)
    assert [p.messages[0]["content"] for p in found] == [row["question"] for row in rows]


def test_sampler_and_golden_reward_read_the_same_names(tmp_path):
    rows, names = renamed(rows_of("scored"))
    path = write(tmp_path / "f.jsonl", rows)
    words = [f"columns.{ours}='{theirs}'" for ours, theirs in names.items()]
    settings = load_settings(["experiment=own_responses", f"input={path}", *words])
    assert settings.prompts.columns == names
    prompts, known = form_prompts(path, settings.prompts)
    assert known["form"] == "scored" and len(prompts) == N / 2
    sampler = FileSampler(str(path), columns=names).open(None, "plain", Compute())
    texts = [text for p in prompts for text, _ in sampler.find(_Task(p.prompt_id, p.messages))]
    assert sorted(texts) == sorted(row["response"] for row in rows_of("scored"))
    scorer = FileGolden(str(path), columns=names).open(Compute())
    asked = [Exchange(prompts[0].prompt_id, "-", prompts[0].messages, f"answer {i}") for i in (0, 1)]
    assert scorer(asked) == [0.5, 1.5]


class _Task:
    def __init__(self, prompt_id, messages):
        self.prompt_id, self.messages = prompt_id, messages


def test_a_name_that_the_file_has_not_is_one_line(tmp_path):
    path = write(tmp_path / "f.jsonl", [{"instruction": "q", "chosen": "a", "rejected": "b"}])
    with pytest.raises(
        InputError, match="row 1: no column 'instrction', which columns.prompt names; it has chosen"
    ):
        read_items(path, names={"prompt": "instrction"})
    with pytest.raises(ConfigError, match=r"unknown setting 'columns.promt'; did you mean columns.prompt\?"):
        load_settings(["columns.promt=x"])


def test_without_names_the_error_says_how_to_give_them(tmp_path):
    path = write(tmp_path / "p.jsonl", [{"instruction": "q"}])
    with pytest.raises(
        InputError, match=r"no 'prompt'; the row has instruction; .* with columns.prompt=\.\.\."
    ):
        form_prompts(path, load_settings(["prompts=file", f"prompts.path={path}"]).prompts)
    path = write(tmp_path / "f.jsonl", [{"instruction": "q", "good": "a", "bad": "b"}])
    with pytest.raises(
        InputError, match=r"match no known form; .* or its columns with columns.prompt=\.\.\."
    ):
        read_items(path)


def test_a_reader_asks_only_for_the_names_that_it_reads(tmp_path):
    """Prompts in one file and responses in another: the names of both are set together."""
    path = write(tmp_path / "p.jsonl", [{"instruction": f"q {i}"} for i in range(5)])
    words = ["prompts=file", f"prompts.path={path}", "columns.prompt=instruction", "columns.response=output"]
    assert len(form_prompts(path, load_settings(words).prompts)[0]) == 5


def test_rows_to_score_are_read_by_the_same_names(tmp_path):
    path = write(tmp_path / "f.jsonl", [{"ask": f"q {i}", "say": "a", "stars": i} for i in range(3)])
    found = read_score_rows(path, names=columns_of(["prompt=ask", "response=say", "score=stars"]))
    assert found.form == "scored" and found.preference.tolist() == [0, 1, 2]
    assert [e.messages[0]["content"] for e in found.exchanges] == ["q 0", "q 1", "q 2"]
    with pytest.raises(ConfigError, match="no form has a column ask; there is: prompt"):
        columns_of(["ask=prompt"])
    with pytest.raises(ConfigError, match="write NAME=YOURS"):
        columns_of(["ask"])


EMPTY = {
    "hh": {"chosen": dialogue("q", ""), "rejected": dialogue("q", "b")},
    "preference": {"prompt": "q", "chosen": "a", "rejected": " \n"},
    "ranking": {"prompt": "q", "responses": ["a", ""], "ranks": [1, 2]},
    "unpaired": {"prompt": "q", "completion": "", "label": True},
    "votes": {"prompt": "q", "response_a": "", "response_b": "b", "votes": ["a"]},
    "scored": {"prompt": "q", "response": "", "score": 1},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("is_first", [True, False])
def test_an_empty_answer_is_an_error_or_left_out_and_counted_in_every_form(tmp_path, form, is_first):
    """Also where it is in the first row, by which the form is recognised."""
    rows = [EMPTY[form], *rows_of(form)] if is_first else [*rows_of(form), EMPTY[form]]
    path = write(tmp_path / "f.jsonl", rows)
    number = 1 if is_first else N + 1
    with pytest.raises(InputError, match=f"row {number}: an answer is empty; .* unusable=drop"):
        read_items(path)
    found = read_items(path, unusable="drop")
    assert (found.form, found.left_out) == (form, {"an answer is empty": 1})
    assert len(found.items) == len(read_items(write(tmp_path / "e.jsonl", rows_of(form))).items)
    assert all(a.text.strip() and math.isfinite(a.score) for i in found.items for a in i.answers)


@pytest.mark.parametrize("form", FORMS)
def test_an_empty_answer_is_scored_in_no_form(tmp_path, form):
    path = write(tmp_path / "f.jsonl", [*rows_of(form), EMPTY[form]])
    with pytest.raises(InputError, match=f"row {N + 1}: an answer is empty"):
        read_score_rows(path)
    scored = read_score_rows(path, unusable="drop")
    assert N + 1 not in scored.row and len(scored.exchanges) == len(
        read_score_rows(write(tmp_path / "e.jsonl", rows_of(form))).exchanges
    )
    alone = write(tmp_path / "a.jsonl", [EMPTY[form]])
    with pytest.raises(InputError, match=r"none of its (1 )?rows can be used \(an answer is empty\)"):
        read_score_rows(alone, form, unusable="drop")
