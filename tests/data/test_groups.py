"""Prompts of one group are never split apart: not into train and test, not into train and validation."""

import json
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmlab.config.hydra import load_settings
from rmlab.data.forms.items import form_prompts, read_items
from rmlab.data.prompts import comparable, content_id, read_prompts, text_id, whole_groups
from rmlab.data.splits import groups_for_testing, hash_share, validation_groups
from rmlab.errors import InputError
from rmlab.evaluation.fit import held_out
from rmlab.responses.table import read_responses
from rmlab.storage.artifact import open_artifact
from rmlab.sweeps.data import read_data, write_data


def jsonl(path, rows):
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return path


def test_the_split_is_that_of_the_group(tmp_path):
    rows = [{"prompt": f"prompt {i}", "group": f"g{i % 60}"} for i in range(240)]
    found = read_prompts(jsonl(tmp_path / "p.jsonl", rows), 0.3)
    by_group = {}
    for prompt in found:
        by_group.setdefault(prompt.group, set()).add(prompt.split)
    assert len(by_group) == 60 and all(len(splits) == 1 for splits in by_group.values())
    assert {"train", "test"} == {split for splits in by_group.values() for split in splits}


@pytest.mark.parametrize(("n", "fraction", "n_test"), [(50, 0.3, 15), (30, 0.2, 6), (7, 0.2, 1), (2, 0.2, 1),
                                                       (3, 0.9, 2), (10, 0, 0), (10, 1, 10), (1, 0.2, 0)])  # fmt: skip
def test_the_rounded_fraction_of_the_prompts_is_for_testing(tmp_path, n, fraction, n_test):
    """Those with the smallest hashes; neither split is empty unless the fraction says so."""
    found = read_prompts(jsonl(tmp_path / "p.jsonl", [{"prompt": f"prompt {i}"} for i in range(n)]), fraction)
    assert [p.group for p in found] == [p.prompt_id for p in found]
    first = sorted(hash_share(p.prompt_id, "split") for p in found)[:n_test]
    assert {hash_share(p.prompt_id, "split") for p in found if p.split == "test"} == set(first)


def test_prompts_with_a_split_of_their_own_keep_it_and_do_not_count(tmp_path):
    given = [{"prompt": f"g {i}", "split": ("train", "test")[i % 2]} for i in range(10)]
    found = read_prompts(jsonl(tmp_path / "p.jsonl", given + [{"prompt": f"{i}"} for i in range(20)]), 0.25)
    assert [p.split for p in found[:10]] == ["train", "test"] * 5
    assert [p.split for p in found[10:]].count("test") == 5


@given(st.lists(st.integers(1, 9), min_size=2, max_size=9), st.floats(0.01, 0.99))
def test_groups_for_testing_are_as_near_to_the_fraction_as_any_groups(sizes, fraction):
    """Against all sets of groups that leave some for training and some for testing."""
    by_group = {f"g{i}": size for i, size in enumerate(sizes)}
    tested = groups_for_testing(by_group, fraction)
    wanted = min(max(round(fraction * sum(sizes)), 1), sum(sizes) - 1)
    every = range(1, 2 ** len(sizes) - 1)
    best = min(abs(sum(s for i, s in enumerate(sizes) if mask >> i & 1) - wanted) for mask in every)
    assert abs(sum(by_group[g] for g in tested) - wanted) == best and 0 < len(tested) < len(sizes)
    assert groups_for_testing(dict(reversed(by_group.items())), fraction) == tested


def test_many_groups_are_drawn_in_moments():
    sizes = {f"g{i}": 1 + i % 4 for i in range(20_000)}
    tested = groups_for_testing(sizes, 0.2)
    assert sum(sizes[g] for g in tested) == round(0.2 * sum(sizes.values()))
    assert 0.15 < sum(sizes[g] == 4 for g in tested) / 5000 < 0.25  # large groups have the chance of others


def test_an_empty_group_of_a_csv_file_is_the_prompt_itself(tmp_path):
    (tmp_path / "p.csv").write_text("prompt,group,prompt_id\na,,x\nb,7,y\n")
    assert [p.group for p in read_prompts(tmp_path / "p.csv", 0.5)] == ["x", "7"]


def test_a_group_must_be_text(tmp_path):
    with pytest.raises(InputError, match="row 1: 'group' is empty"):
        read_prompts(jsonl(tmp_path / "p.jsonl", [{"prompt": "a", "group": " "}]), 0.5)


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from(["train", "test"])), max_size=30))
def test_a_split_of_the_file_that_parts_a_group_keeps_its_test_prompts(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("g") / "p.jsonl"
    found = [{"prompt": f"{i}", "group": g, "split": s} for i, (g, s) in enumerate(rows)]
    prompts = read_prompts(jsonl(path, found), 0.5) if found else []
    whole = whole_groups(prompts)
    train, test = ({p.group for p in whole if p.split == s} for s in ("train", "test"))
    assert not train & test
    assert [p for p in whole if p.split == "test"] == [p for p in prompts if p.split == "test"]
    assert train == {p.group for p in prompts} - test


def test_validation_groups_do_not_depend_on_how_many_prompts_they_have():
    groups = [f"g{i}" for i in range(40)]
    many = [g for i, g in enumerate(groups) for _ in range(1 + i % 4)]
    assert validation_groups(many, 0.25, 0) == validation_groups(groups, 0.25, 0)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """60 prompts of 20 groups with 3 scored responses each, through every stage."""
    from rmlab.pipeline.plan import load_arms, plan
    from rmlab.pipeline.run import run_nodes

    folder = tmp_path_factory.mktemp("groups")
    rows = [
        {"prompt": f"prompt {i}", "group": f"g{i % 20}", "response": f"answer {i} {k} " * (k + 1), "score": k}
        for i in range(60)
        for k in range(3)
    ]
    overrides = [
        "experiment=own_responses",
        f"input={jsonl(folder / 'r.jsonl', rows)}",
        f"out={folder / 'out'}",
        "embedder=hashing",
        "noise=none",
        "comparisons.n=30",
        "comparisons.n_validation=5",
        "evaluation.resamples=20",
        "arms=['head=linear loss=bradley_terry']",
    ]
    run_nodes([n for n in plan(load_arms(overrides)) if n.stage != "report"], "test", quiet=True)
    return folder / "out", overrides


def only(out, stage):
    [folder] = (out / stage).iterdir()
    return open_artifact(folder)


def test_no_group_is_on_two_sides_of_any_split(run):
    out, _ = run
    groups = dict(
        zip(*(only(out, "prompts").read()[c].to_pylist() for c in ("prompt_id", "group")), strict=True)
    )
    rows = only(out, "fit_rm").read("comparisons").to_pylist()
    sides = {
        s: {groups[p] for r in rows if r["split"] == s for p in r["prompt_ids"]}
        for s in ("train", "validation")
    }
    judged = only(out, "eval_rm").read("head_scores", ["prompt_id", "split"]).to_pylist()
    sides |= {
        f"judged {s}": {groups[r["prompt_id"]] for r in judged if r["split"] == s}
        for s in ("validation", "test")
    }
    assert sides["train"] and sides["validation"] and sides["judged test"]
    assert not sides["train"] & sides["validation"] and not sides["train"] & sides["judged validation"]
    assert not sides["judged test"] & (sides["train"] | sides["judged validation"])
    assert sides["validation"] <= sides["judged validation"]


def test_a_cell_of_a_sweep_holds_out_the_same_responses(run, tmp_path):
    out, overrides = run
    inputs = {s: only(out, s) for s in ("prompts", "sample", "annotate", "embed")}
    data = read_data(write_data({f"{s}:x": a for s, a in inputs.items()}, "x", tmp_path))
    settings = load_settings(overrides)
    direct = read_responses(inputs["sample"], inputs["annotate"], ["train"])
    assert direct.split_groups is not None and np.array_equal(data.train.golden, direct.golden)
    held = held_out(settings, direct)
    assert 0 < held.sum() < len(held) and np.array_equal(held_out(settings, data.train), held)
    groups = np.array(direct.split_groups.tolist())
    assert not set(groups[held]) & set(groups[~held])


def test_scored_prompts_with_one_first_human_turn_are_one_group(tmp_path):
    """Whether they go on, have ids of their own or a system message; in the summary and in the stage alike."""
    talk = [{"role": "user", "content": "Q"}]
    longer = [*talk, {"role": "assistant", "content": "yes"}, {"role": "user", "content": "more"}]
    prompts = [
        {"messages": talk},
        {"messages": longer},
        {"messages": [{"role": "system", "content": "be short"}, *talk], "prompt_id": "2"},
        {"messages": [{"role": "user", "content": "R"}], "prompt_id": "3"},
        {"messages": talk, "prompt_id": "4", "group": "mine"},
    ]
    rows = [{**p, "response": f"{k}", "score": k} for p in prompts for k in range(2)]
    path = jsonl(tmp_path / "p.jsonl", rows)
    how = load_settings(["experiment=imported", f"input={path}"]).prompts
    found, _ = form_prompts(path, how)
    assert [p.group for p in found] == [content_id(talk)] * 3 + ["3", "mine"]
    assert [(i.prompt_id, i.group) for i in read_items(path).items] == [(p.prompt_id, p.group) for p in found]
    assert len({p.split for p in found[:3]}) == 1


@pytest.mark.parametrize("form", ["scored", "unpaired"])
@pytest.mark.parametrize("column", ["split", "group"])
@pytest.mark.parametrize("first", [None, "train"])
def test_the_rows_of_a_prompt_are_in_one_split_and_group(tmp_path, form, column, first):
    answers = {"scored": {"response": "a", "score": 1}, "unpaired": {"completion": "a", "label": True}}[form]
    rows = [
        {"prompt": "q", **answers},
        {"prompt": "r", **answers},
        {"prompt": "q", **answers, column: "test"},
    ]
    rows[0] |= {column: first} if first else {}
    path = jsonl(tmp_path / "f.jsonl", rows)
    with pytest.raises(
        InputError, match=f"row 3: prompt .* has another {column} than in row 1; give all rows"
    ):
        read_items(path, form)
    if form == "scored":
        with pytest.raises(InputError, match=f"row 3: prompt .* has another {column} than in row 1"):
            read_prompts(path, 0.5, merge=True)


def test_a_later_row_may_leave_split_and_group_out_or_name_the_split_otherwise(tmp_path):
    rows = [
        {"prompt": "q", "split": "validation", "group": 7},
        {"prompt": "q"},
        {"prompt": "q", "split": "test"},
    ]
    path = jsonl(tmp_path / "p.jsonl", [{**r, "response": f"{i}", "score": i} for i, r in enumerate(rows)])
    [prompt] = read_prompts(path, 0.5, merge=True, by_turn=True)
    [item] = read_items(path).items
    assert (prompt.split, prompt.group, item.group, len(item.answers)) == ("test", "7", "7", 3)


COPIES = {
    "composed and decomposed": ("Où est le café ?", unicodedata.normalize("NFD", "Où est le café ?")),
    "spaces": ("Who are you?", "  Who  are\tyou?\n"),
    "spaces of other kinds": ("Where are we?", "Where\u00a0are\u2009we?"),
    "capitals": ("Straße des Volkes", "STRASSE DES VOLKES"),
    "marks that are not seen": ("really good", "re\u00adally\u200b good\ufeff"),
    "capitals with marks": ("İstanbul", "i\u0307stanbul"),
}
APART = [("a b", "ab"), ("who?", "who"), ("x2", "x²"), ("１", "1"), ("é", "e")]


@pytest.mark.parametrize("name", COPIES)
def test_near_copies_are_compared_as_one_text(name):
    one, other = COPIES[name]
    assert one != other and comparable(one) == comparable(other)


@pytest.mark.parametrize(("one", "other"), APART)
def test_other_texts_are_not(one, other):
    assert comparable(one) != comparable(other)


@given(st.text(max_size=20))
def test_comparing_is_stable(text):
    once = comparable(text)
    assert comparable(once) == once == comparable(unicodedata.normalize("NFD", text))


FORMS = {
    "preference": lambda text, i: {"prompt": text, "chosen": f"yes {i}", "rejected": f"no {i}"},
    "hh": lambda text, i: {
        side: f"\n\nHuman: {text}\n\nAssistant: {side} {i}" for side in ("chosen", "rejected")
    },
    "ranking": lambda text, i: {"prompt": text, "responses": [f"a {i}", f"b {i}"], "ranks": [1, 2]},
    "votes": lambda text, i: {
        "prompt": text, "response_a": f"a {i}", "response_b": f"b {i}", "votes": ["a"]
    },
    "unpaired": lambda text, i: {"prompt": text, "completion": f"a {i}", "label": True},
    "scored": lambda text, i: {"prompt": text, "response": f"a {i}", "score": i},
    "prompts": lambda text, i: {"prompt": text},
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_near_copies_share_the_group_of_the_first_and_keep_their_texts(tmp_path, form):
    texts = [text for pair in COPIES.values() for text in pair] + [f"plain {i}" for i in range(10)]
    rows = [FORMS[form](text, i) for i, text in enumerate(texts)]
    how = load_settings(["experiment=imported", f"input={jsonl(tmp_path / 'f.jsonl', rows)}", f"form={form}"])
    found, _ = form_prompts(tmp_path / "f.jsonl", how.prompts)
    groups = [p.group for p in found]
    for n in range(len(COPIES)):
        assert groups[2 * n] == groups[2 * n + 1] and found[2 * n].split == found[2 * n + 1].split
    assert len(set(groups)) == len(COPIES) + 10
    assert [p.messages[0]["content"].strip() for p in found] == [text.strip() for text in texts]
    if form == "prompts":
        assert groups[::2][: len(COPIES)] == [p.prompt_id for p in found[::2]][: len(COPIES)]


@pytest.mark.parametrize("form", FORMS)
def test_a_file_without_near_copies_is_grouped_and_split_as_ever(tmp_path, form):
    """Also where texts have capitals, marks and many spaces: a group's name is not that of the compared text."""
    texts = [f"Où  est LE café numéro {i} ?" for i in range(30)]
    path = jsonl(tmp_path / "f.jsonl", [FORMS[form](text, i) for i, text in enumerate(texts)])
    how = load_settings(["experiment=imported", f"input={path}", f"form={form}"])
    found, _ = form_prompts(path, how.prompts)
    expected = [content_id([{"role": "user", "content": text}]) for text in texts]
    assert [p.group for p in found] == expected
    first = sorted(expected, key=lambda g: hash_share(g, "split"))[:6]  # a fifth of 30
    assert {p.group for p in found if p.split == "test"} == set(first)


def test_whole_prompts_are_compared_where_turns_are_not(tmp_path):
    """In a file of prompts, those that share only their first turn stay apart."""
    talk = [{"role": "user", "content": "Q"}]
    longer = [*talk, {"role": "assistant", "content": "yes"}, {"role": "user", "content": "more"}]
    found = read_prompts(jsonl(tmp_path / "p.jsonl", [{"messages": talk}, {"messages": longer}]), 0.5)
    assert found[0].group != found[1].group and text_id(talk) != text_id(longer)
