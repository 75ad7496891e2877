"""rmlab export: preferences that come back as they were, for TRL and for datasets."""

import json
from pathlib import Path

import pandas as pd
import pytest
from form_rows import N, assistant, rows_of, user, write
from hypothesis import given, settings
from hypothesis import strategies as st

from rmlab.commands.exporting import write_folder, write_rows
from rmlab.data.forms.items import read_items
from rmlab.data.forms.preference_rows import Scored, preference_rows

HALF = "prompts.test_fraction=0.5"
ODD = ["\n\nHuman: no\n\nAssistant: yes", "<|im_end|>", "a\u2028b", "a\r\nb", "\x00", '"', "é" * 3, " space "]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    str.strip
) | st.sampled_from(ODD)
SCORE = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def preferences(draw, as_text):
    chosen, rejected = draw(TEXT), draw(TEXT)
    if chosen == rejected:
        rejected += "."
    high, low = sorted([draw(SCORE), draw(SCORE)], reverse=True)
    row = {"score_chosen": high, "score_rejected": low}
    if as_text:
        return {**row, "prompt": draw(TEXT), "chosen": chosen, "rejected": rejected}
    before = draw(st.lists(st.tuples(TEXT, TEXT), max_size=2))
    system = [{"role": "system", "content": draw(TEXT)}] if draw(st.booleans()) else []
    talk = [m for u, a in before for m in (user(u), assistant(a))]
    prompt = [*system, *talk, user(draw(TEXT))]
    return {**row, "prompt": prompt, "chosen": [assistant(chosen)], "rejected": [assistant(rejected)]}


def said(item):
    return item.messages, sorted((a.score, a.text) for a in item.answers), item.group


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
@pytest.mark.parametrize("as_text", [True, False])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_preferences_come_back_as_they_were(tmp_path_factory, kind, as_text, data):
    rows = data.draw(st.lists(preferences(as_text), min_size=1, max_size=4))
    folder = tmp_path_factory.mktemp("e")
    before = list(read_items(write(folder / "in.jsonl", rows), "preference").items)
    out, ties = [], 0
    for item in before:
        prompt = {
            "prompt_id": item.prompt_id,
            "group": item.group,
            "split": "train",
            "messages": item.messages,
        }
        scored = [Scored(str(a.response_id), a.text, a.score) for a in item.answers]
        found, tied = preference_rows(prompt, scored, "all", item.is_text)
        out, ties = out + found, ties + tied
    assert ties == sum(r["score_chosen"] == r["score_rejected"] for r in rows)
    if not out:
        return
    write_rows(folder / f"out.{kind}", out, as_text)
    after = list(read_items(folder / f"out.{kind}").items)
    untied = [i for i in before if len({a.score for a in i.answers}) > 1]
    assert [said(i) for i in after] == [said(i) for i in untied]
    assert [i.is_text for i in after] == [as_text] * len(after) and {i.split for i in after} == {"train"}


def test_responses_that_look_like_dialogues_come_back_all_the_same(tmp_path):
    odd = {
        "chosen": ODD[0],
        "rejected": f"{ODD[0]}.",
        "prompt": "Say",
        "score_chosen": 1.0,
        "score_rejected": 0.0,
    }
    (item,) = read_items(write(tmp_path / "in.jsonl", [odd]), "preference").items
    prompt = {"prompt_id": item.prompt_id, "group": None, "split": "train", "messages": item.messages}
    scored = [Scored(str(a.response_id), a.text, a.score) for a in item.answers]
    write_rows(tmp_path / "out.jsonl", preference_rows(prompt, scored, "all", True)[0], True)
    (again,) = read_items(tmp_path / "out.jsonl").items
    assert said(again)[:2] == said(item)[:2]


@pytest.fixture
def imported(cli, tmp_path):
    def run(rows, *more):
        path = write(tmp_path / "f.jsonl", rows)
        args = (f"input={path}", HALF, f"out={tmp_path / 'out'}", *more)
        result = cli("import", path, *args[1:], "--json")
        assert result.code == 0, result.err
        return ("experiment=imported", *args), result.json

    return run


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def test_trl_rows_of_text_are_the_rows_that_were_imported(cli, imported, tmp_path):
    args, _ = imported(rows_of("preference"))
    assert cli("export", tmp_path / "p.jsonl", *args, "--json").json["pairs"] == N
    columns = ("prompt", "chosen", "rejected")
    found = sorted(tuple(r[c] for c in columns) for r in lines(tmp_path / "p.jsonl"))
    assert found == sorted(tuple(r[c] for c in columns) for r in rows_of("preference"))


def test_dialogues_become_conversations_that_trl_takes(cli, imported, tmp_path):
    from trl.data_utils import is_conversational

    args, _ = imported(rows_of("hh"))
    assert cli("export", tmp_path / "p.jsonl", *args).code == 0
    found = lines(tmp_path / "p.jsonl")
    assert all(is_conversational({k: r[k] for k in ("prompt", "chosen", "rejected")}) for r in found)
    again = {i.messages[0]["content"]: said(i) for i in read_items(tmp_path / "p.jsonl").items}
    assert again == {i.messages[0]["content"]: said(i) for i in read_items(tmp_path / "f.jsonl").items}


def test_an_import_of_an_export_has_the_same_splits_and_preferences(cli, imported, tmp_path):
    args, first = imported(rows_of("ranking"))
    assert cli("export", tmp_path / "p.parquet", *args).code == 0
    result = cli("import", tmp_path / "p.parquet", f"out={tmp_path / 'again'}", "--json")
    assert result.code == 0, result.err
    assert result.json["import"]["pairs"] == first["import"]["pairs"] == 3 * N
    assert result.json["import"]["groups"] == N and result.json["import"]["parted"] == 0
    assert result.json["import"]["train"] == 3 * first["import"]["train"]


@pytest.mark.parametrize(("which", "pairs", "ties"), [("all", 4, 2), ("best", 2, 0)])
def test_all_pairs_or_the_best_against_the_worst(cli, imported, tmp_path, which, pairs, ties):
    rows = [
        {"prompt": f"q {k}", "responses": ["a", "b", "c"], "ranks": [2, 1, 2], "split": s}
        for k, s in enumerate(("train", "test"))
    ]
    args, _ = imported(rows)
    found = cli("export", tmp_path / "p.jsonl", *args, "--pairs", which, "--json").json
    assert (found["pairs"], found["ties_left_out"], found["splits"]) == (
        pairs,
        ties,
        {"train": pairs // 2, "test": pairs // 2},
    )
    assert {(r["chosen"], r["score_chosen"], r["score_rejected"]) for r in lines(tmp_path / "p.jsonl")} == {
        ("b", -1, -2)
    }


def test_a_folder_for_datasets_has_splits_and_a_card(cli, imported, tmp_path):
    from datasets import load_dataset

    args, document = imported(rows_of("hh"))
    out = tmp_path / "mine"
    assert cli("export", out, *args, "--to", "datasets", "--license", "mit").code == 0
    found = load_dataset(str(out), cache_dir=str(tmp_path / "cache"))
    assert {s: len(found[s]) for s in found} == {s: document["import"][s] for s in ("train", "test")}
    assert found["train"].column_names[:3] == ["prompt", "chosen", "rejected"]
    card = (out / "README.md").read_text(encoding="utf-8")
    assert 'license: "mit"' in card and "| `score_chosen` | double |" in card and "sha256:" in card
    assert str(tmp_path) not in card
    again = cli("import", out, f"out={tmp_path / 'again'}", "--json").json["import"]
    assert all(again[k] == document["import"][k] for k in ("pairs", "train", "test", "groups"))


def test_an_annotate_artifact_is_enough(cli, imported, tmp_path):
    args, document = imported(rows_of("votes"))
    [folder] = [s["path"] for s in document["stages"] if s["stage"] == "annotate"]
    assert cli("export", tmp_path / "a.jsonl", "--from", folder).code == 0
    assert cli("export", tmp_path / "b.jsonl", *args).code == 0
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    [other] = [s["path"] for s in document["stages"] if s["stage"] == "sample"]
    result = cli("export", tmp_path / "c.jsonl", "--from", other)
    assert result.code == 3 and "is of the stage sample; give one of annotate" in result.line


def test_sampled_responses_are_exported_too(cli, small_run, tmp_path):
    folder = next((small_run / "annotate").glob("sentiment-*"))
    assert cli("export", tmp_path / "p.parquet", "--from", folder, "--pairs", "best").code == 0
    found = pd.read_parquet(tmp_path / "p.parquet")
    assert 0 < len(found) <= 18 and (found["score_chosen"] > found["score_rejected"]).all()


def test_nothing_is_overwritten_unasked_and_nothing_is_left_half_written(
    cli, imported, tmp_path, monkeypatch
):
    args, _ = imported(rows_of("hh"))
    out = tmp_path / "mine"
    assert cli("export", out, *args, "--to", "datasets").code == 0
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    result = cli("export", out, *args, "--to", "datasets")
    assert result.code == 2 and "--force" in result.line

    def full(*_):
        raise OSError(28, "No space left on device", "x")

    with monkeypatch.context() as patch:
        patch.setattr("rmlab.commands.exporting._card", full)
        assert cli("export", out, *args, "--to", "datasets", "--force").code == 1
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f.jsonl", "mine", "out"]
    assert cli("export", out, *args, "--to", "datasets", "--force").code == 0


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("p.csv", (), "ends with .jsonl or .parquet"),
        ("folder", ("--to", "datasets"), "is no folder that an export wrote"),
        ("file.txt", ("--to", "datasets"), "is a file; give another name"),
        ("p.jsonl", ("--from", "nowhere", "seed=1"), "leave out"),
    ],
)
def test_a_place_or_a_source_that_will_not_do_is_one_line(cli, tmp_path, name, more, message):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").write_text("years of work")
    (tmp_path / "file.txt").write_text("x")
    result = cli("export", tmp_path / name, *more, "--force")
    assert result.code == 2 and message in result.line
    assert (tmp_path / "folder" / "thesis.tex").exists() and (tmp_path / "file.txt").read_text() == "x"


def test_what_was_not_imported_names_the_command(cli, tmp_path):
    path = write(tmp_path / "f.jsonl", rows_of("hh"))
    result = cli(
        "export", tmp_path / "p.jsonl", "experiment=imported", f"input={path}", f"out={tmp_path / 'o'}"
    )
    assert result.code == 3 and "rmlab import" in result.line


def test_ties_alone_leave_nothing_to_export(cli, imported, tmp_path):
    rows = [{"prompt": f"q {k}", "responses": ["a", "b"], "ranks": [1, 1]} for k in range(N)]
    args, _ = imported(rows)
    result = cli("export", tmp_path / "p.jsonl", *args)
    assert result.code == 3 and "12 ties" in result.line and not Path(tmp_path / "p.jsonl").exists()


def test_what_was_there_comes_back_where_the_new_cannot_take_its_place(tmp_path, monkeypatch):
    out = tmp_path / "mine"
    out.mkdir()
    (out / "README.md").write_text("before")
    rename = Path.rename

    def refused(self, target):
        if self.parent.name.endswith(".tmp"):
            raise OSError(13, "Permission denied", "x")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(OSError, match="Permission denied"):
        write_folder(out, [{"prompt": "q", "split": "train"}], True, "mit", [])
    assert (out / "README.md").read_text() == "before" and [p.name for p in tmp_path.iterdir()] == ["mine"]
