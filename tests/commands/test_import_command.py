"""rmlab import: what a file holds, its artifacts, and the next command."""

import math
import shlex

import numpy as np
import pytest
from form_rows import FORMS, assistant, dialogue, rows_of, user, write

from rmlab.commands.inspect import lineage
from rmlab.storage.artifact import open_artifact

HALF = "prompts.test_fraction=0.5"
SMALL = ("comparisons.n_validation=3", "evaluation.resamples=20", "embedder=hashing")


def artifacts(document):
    from pathlib import Path

    return {s["stage"]: open_artifact(Path(s["path"])) for s in document["stages"]}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_becomes_prompts_responses_and_scores(cli, tmp_path, form):
    path = write(tmp_path / "f.jsonl", rows_of(form))
    result = cli("import", path, HALF, f"out={tmp_path / 'out'}", "--json")
    assert result.code == 0, result.err
    found, made = result.json["import"], artifacts(result.json)
    assert found["form"] == form and set(made) == {"prompts", "sample", "annotate"}
    prompts, responses, scores = (made[s].read().to_pandas() for s in ("prompts", "sample", "annotate"))
    assert len(prompts) == found["items"] == found["train"] + found["test"]
    assert len(responses) == len(scores) == found["answers"]
    joined = responses.merge(scores, on="response_id")
    read = {t: float(s) for r in rows_of(form) for t, s in zip(*texts_and_scores(form, r), strict=True)}
    assert dict(zip(joined["text"], joined["score"], strict=True)) == pytest.approx(read)
    [source] = [r for r in lineage(made["annotate"]) if r["role"] == "path" and r["depth"] == 0]
    assert source["kind"] == "file" and source["name"] == str(path)


def texts_and_scores(form, row):
    """By hand, from the row itself."""
    if form == "hh":
        return [row[side].rpartition("Assistant: ")[2] for side in ("chosen", "rejected")], [1, 0]
    if form == "preference":
        return [row["chosen"], row["rejected"]], [1, 0]
    if form == "ranking":
        return row["responses"], [-r for r in row["ranks"]]
    if form == "votes":
        return [row["response_a"], row["response_b"]], [2 / 3, 1 / 3]
    return (
        ([row["completion"]], [row["label"]]) if form == "unpaired" else ([row["response"]], [row["score"]])
    )


def test_what_was_found_is_said_and_the_next_command_runs(cli, tmp_path):
    path = write(tmp_path / "with space.jsonl", rows_of("ranking"))
    result = cli("import", path, HALF, f"out={tmp_path / 'out'}", *SMALL)
    assert result.code == 0, result.err
    assert "read as the form ranking; name another with form=..." in result.out
    assert "12 rows -> 12 items with 36 answers in 12 groups" in result.out
    assert "36 pairs and 0 ties; 0 records left out" in result.out
    [then] = [line.removeprefix("next: ") for line in result.out.splitlines() if line.startswith("next: ")]
    program, *arguments = shlex.split(then)
    assert program == "rmlab" and arguments[:2] == ["run", "experiment=imported"]
    run = cli(*arguments, "arms=['head=linear loss=bradley_terry']", "--json")
    assert run.code == 0, run.err
    states = {s["stage"]: s["state"] for s in run.json["stages"]}
    assert [states[s] for s in ("prompts", "sample", "annotate")] == ["already"] * 3


@pytest.mark.parametrize("form", FORMS)
def test_the_next_command_is_that_for_the_data(cli, tmp_path, form):
    """Pairs are human preferences, whose held-out accuracy counts; other data have best-of-N."""
    path = write(tmp_path / "f.jsonl", rows_of(form))
    result = cli("import", path, HALF, f"out={tmp_path / 'out'}", "--json")
    pairs = form in ("hh", "preference", "votes")
    words = shlex.split(result.json["next"])
    assert words[2] == f"experiment={'human_preferences' if pairs else 'imported'}"
    assert any(word.startswith("comparisons.n=") for word in words) is not pairs
    planned = cli(*words[1:], "embedder=hashing", "arms=[]", "--dry-run", "--json")
    assert planned.code == 0, planned.err
    states = {s["stage"]: s["state"] for s in planned.json["stages"]}
    assert [states[s] for s in ("prompts", "sample", "annotate")] == ["already"] * 3
    assert ("heldout" in states) is pairs
    typed = cli(
        "import", path, HALF, "experiment=own_responses", f"out={tmp_path / 'o'}", "--json", "--dry-run"
    )
    assert "experiment=own_responses" in typed.json["next"]


def test_imported_answers_have_the_name_of_their_file(cli, tmp_path):
    path = write(tmp_path / "my answers.jsonl", rows_of("scored"))
    result = cli("import", path, HALF, f"out={tmp_path / 'out'}", "--json")
    [sample] = (tmp_path / "out" / "sample").iterdir()
    assert sample.name.startswith("my_answers-")
    status = cli("status", "experiment=imported", f"input={path}", HALF, f"out={tmp_path / 'out'}")
    assert "smollm2" not in "".join(line for line in status.out.splitlines() if line.startswith("sample"))
    assert {s["name"] for s in result.json["stages"] if s["stage"] == "sample"} == {"my_answers"}


def test_columns_are_named_for_an_import_and_for_the_run_after_it(cli, tmp_path):
    names = {"prompt": "question", "chosen": "good", "rejected": "bad"}
    rows = [{names[k]: v for k, v in row.items()} for row in rows_of("preference")]
    path = write(tmp_path / "f.jsonl", rows)
    words = [f"columns.{ours}={theirs}" for ours, theirs in names.items()]
    result = cli("import", path, HALF, *words, f"out={tmp_path / 'out'}", "--json")
    assert result.code == 0, result.err
    assert result.json["import"]["form"] == "preference" and result.json["import"]["pairs"] == 12
    assert all(word in result.json["next"] for word in words)
    assert sorted(artifacts(result.json)["sample"].read()["text"].to_pylist()) == sorted(
        row[side] for row in rows for side in ("good", "bad")
    )


def test_few_test_prompts_are_warned_of(cli, tmp_path):
    rows = [{"prompt": f"q {i}", "response": f"a {i}", "score": i % 7} for i in range(100)]
    path = write(tmp_path / "f.jsonl", rows)
    few = cli("import", path, "prompts.test_fraction=0.19", f"out={tmp_path / 'out'}")
    assert few.code == 0 and "19 test prompts are few" in few.out and "prompts.test_fraction" in few.out
    assert "warning: " in few.err and few.err.count("19 test prompts are few") == 1
    enough = cli("import", path, "prompts.test_fraction=0.2", f"out={tmp_path / 'out'}")
    assert enough.code == 0 and "are few" not in enough.out + enough.err


def test_a_dry_run_writes_nothing_and_a_second_import_is_already_there(cli, tmp_path):
    args = ("import", write(tmp_path / "f.jsonl", rows_of("hh")), HALF, f"out={tmp_path / 'out'}", "--json")
    assert {s["state"] for s in cli(*args, "--dry-run").json["stages"]} == {"planned"}
    assert not (tmp_path / "out").exists()
    assert {s["state"] for s in cli(*args).json["stages"]} == {"done"}
    assert {s["state"] for s in cli(*args).json["stages"]} == {"already"}
    assert {s["state"] for s in cli(*args, "--force").json["stages"]} == {"done"}


def test_own_responses_takes_every_form(cli, tmp_path):
    path = write(tmp_path / "f.jsonl", rows_of("votes"))
    args = ("experiment=own_responses", f"input={path}", HALF, f"out={tmp_path / 'out'}")
    result = cli("annotate", *args)
    assert result.code == 3 and "rmlab sample" in result.line
    assert cli("sample", *args).code == 0 and cli("annotate", *args).code == 0


def test_a_split_that_parts_a_group_leaves_out_its_train_items(cli, tmp_path):
    rows = [{**r, "split": "test" if i < 4 else "train"} for i, r in enumerate(rows_of("preference"))]
    rows.append({"prompt": "question 0", "chosen": "x", "rejected": "y", "split": "train"})
    result = cli("import", write(tmp_path / "f.jsonl", rows), f"out={tmp_path / 'out'}", "--json")
    found, made = result.json["import"], artifacts(result.json)
    assert (found["train"], found["test"], found["parted"]) == (8, 4, 1)
    assert made["prompts"].manifest.counts["parted_groups"] == 1 and len(made["sample"].read()) == 24
    assert any("groups that have test prompts" in w for w in made["prompts"].manifest.warnings)


def test_single_answers_are_compared_across_prompts(cli, tmp_path):
    rows = [{"prompt": f"q {i}", "completion": f"a {i}", "label": i % 3 == 0} for i in range(20)]
    result = cli("import", write(tmp_path / "f.jsonl", rows), HALF, f"out={tmp_path / 'out'}", "--json")
    assert "pairing=cross_prompt" in result.json["next"] and result.json["import"]["pairs"] == 0


@pytest.fixture
def arrays(tmp_path):
    """8 train prompts with 3 responses and 4 test prompts with 6, whose reward is a direction of the vector."""
    rng, folder = np.random.default_rng(0), tmp_path / "arrays"
    folder.mkdir()
    for split, p, k in (("train", 8, 3), ("test", 4, 6)):
        x = rng.normal(size=(p, k, 5)).astype(np.float32)
        np.save(folder / f"{split}_embeddings.npy", x)
        np.save(folder / f"{split}_rewards.npy", x[..., 0])
    return folder


def test_arrays_are_imported_with_their_embeddings(cli, arrays, tmp_path):
    result = cli("import", arrays, f"out={tmp_path / 'out'}", "--json")
    assert result.code == 0, result.err
    found, made = result.json["import"], artifacts(result.json)
    assert (found["train"], found["test"], found["pairs"]) == (8, 4, 8 * 3 + 4 * 15)
    assert "embedder=arrays" in result.json["next"]
    scores = made["annotate"].read().to_pandas().set_index("response_id")["score"]
    for row in made["embed"].read().to_pylist():
        split, i, j = row["response_id"].split("-")
        expected = np.load(arrays / f"{split}_embeddings.npy")[int(i), int(j)]
        assert np.array_equal(row["embedding"], expected) and scores[row["response_id"]] == expected[0]
    splits = dict(zip(*(made["prompts"].read()[c].to_pylist() for c in ("prompt_id", "split")), strict=True))
    assert all(prompt_id.startswith(split) for prompt_id, split in splits.items())


def test_torch_files_give_the_same_as_numpy_s(cli, arrays, tmp_path):
    import torch

    first = artifacts(cli("import", arrays, f"out={tmp_path / 'a'}", "--json").json)
    other = tmp_path / "torch"
    (other / "train").mkdir(parents=True)
    (other / "test").mkdir()
    for file in arrays.glob("*.npy"):
        split, _, what = file.stem.partition("_")
        torch.save(torch.from_numpy(np.load(file)), other / split / f"{what}.pt")
    second = artifacts(cli("import", other, f"out={tmp_path / 'b'}", "--json").json)
    for stage in ("annotate", "embed"):
        assert first[stage].read().equals(second[stage].read())


def test_arrays_need_all_parts_from_one_folder(cli, arrays, tmp_path):
    path = write(tmp_path / "f.jsonl", rows_of("hh"))
    args = ("experiment=imported", f"input={path}", HALF, "embedder=arrays", f"embedder.path={arrays}")
    result = cli("run", *args, f"out={tmp_path / 'out'}", "comparisons.n=2")
    assert result.code == 3 and "no embedding for 24 of 24 responses" in result.line


def test_a_folder_of_arrays_for_train_alone_has_no_test_prompts(cli, arrays, tmp_path):
    for file in arrays.glob("test*"):
        file.unlink()
    result = cli("import", arrays, f"out={tmp_path / 'out'}")
    assert result.code == 3 and "has no test prompts" in result.line


def test_a_saved_dataset_is_read_with_its_splits(cli, tmp_path):
    import datasets

    rows = rows_of("preference")
    parts = {"train": datasets.Dataset.from_list(rows[:8]), "test": datasets.Dataset.from_list(rows[8:])}
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "saved"))
    (tmp_path / "files").mkdir()
    for split, part in parts.items():
        part.to_parquet(str(tmp_path / "files" / f"{split}.parquet"))
    for place in ("saved", "files"):
        result = cli("import", tmp_path / place, f"out={tmp_path / 'out' / place}", "--json")
        assert result.code == 0, result.err
        found = result.json["import"]
        assert (found["form"], found["train"], found["test"]) == ("preference", 8, 4)
        [source] = [r for r in lineage(artifacts(result.json)["prompts"]) if r["role"] == "file"]
        assert source["kind"] == "folder" and source["identity"].startswith("sha256:")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no-such/dataset", "is no file here, and as a dataset it cannot be loaded"),
        ("none.jsonl", "does not exist"),
        ("empty-folder", "is a folder without data files"),
    ],
)
def test_a_source_that_is_not_there_is_one_line(cli, tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty-folder").mkdir()
    result = cli("import", name, f"out={tmp_path / 'out'}")
    assert result.code == 3 and message in result.line and name in result.line
    assert not (tmp_path / "out").exists()


def test_a_conversation_keeps_its_roles(cli, tmp_path):
    system = {"role": "system", "content": "be\n\nHuman: short"}
    rows = [
        {"prompt": [system, user(f"q {i}"), assistant("r"), user("s")], "chosen": [assistant("a")], "rejected": [assistant("b")]}
        for i in range(12)
    ]  # fmt: skip
    made = artifacts(
        cli("import", write(tmp_path / "f.jsonl", rows), HALF, f"out={tmp_path / 'o'}", "--json").json
    )
    assert sorted(m[1]["content"] for m in made["prompts"].read()["messages"].to_pylist()) == sorted(
        f"q {i}" for i in range(12)
    )
    assert all(m[0] == system for m in made["prompts"].read()["messages"].to_pylist())
    assert made["prompts"].manifest.metrics["text"] is False


def test_dialogues_may_be_named_as_what_they_are_not(cli, tmp_path):
    path = write(tmp_path / "f.jsonl", [{"chosen": dialogue("q", "a"), "rejected": dialogue("q", "b")}])
    result = cli("import", path, "form=scored", f"out={tmp_path / 'o'}")
    assert result.code == 3 and "row 1: no 'prompt'" in result.line
    result = cli("import", path, "form=pairs", f"out={tmp_path / 'o'}")
    assert result.code == 2 and "form: Input should be 'auto'" in result.line


def test_scores_that_failed_are_kept_unless_all_did(cli, tmp_path):
    """The first shard of prompts has no score at all: as the file says, and no reason to stop."""
    rows = [
        {**r, "prompt": f"q {i}", "split": ("train", "test")[i % 2]} for i, r in enumerate(rows_of("scored"))
    ]
    failed = [{**r, "score": math.nan} for r in rows]
    args = ("prompts_per_shard=9", f"out={tmp_path / 'out'}", "--json")
    result = cli("import", write(tmp_path / "f.jsonl", [*failed[:9], *rows[9:]]), *args)
    assert result.code == 0, result.err
    assert artifacts(result.json)["annotate"].manifest.counts["failed_rows"] == 9
    result = cli("import", write(tmp_path / "g.jsonl", failed), f"out={tmp_path / 'none'}")
    assert result.code == 3 and "g.jsonl: no score is a finite number" in result.line
    assert not (tmp_path / "none").exists()


def test_a_file_with_several_rewards_is_not_imported(cli, tmp_path):
    rows = [{**r, "reward": name} for r in rows_of("scored") for name in ("a", "b")]
    args = ("golden.file.reward=a", HALF, f"out={tmp_path / 'out'}")
    result = cli("import", write(tmp_path / "f.jsonl", rows), *args)
    assert result.code == 3 and "keep the rows of one reward" in result.line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("form", "bad", "reason"),
    [
        ("scored", {"prompt": "q", "response": " ", "score": 1}, "an answer is empty"),
        (
            "preference",
            {"prompt": "q", "chosen": "a", "rejected": "a"},
            "two of its answers are the same text",
        ),
    ],
)
def test_records_that_are_left_out_are_said_in_the_manifest(cli, tmp_path, form, bad, reason):
    path = write(tmp_path / "f.jsonl", [*rows_of(form), bad, bad])
    result = cli("import", path, HALF, "unusable=drop", f"out={tmp_path / 'out'}", "--json")
    manifest = artifacts(result.json)["prompts"].manifest
    assert manifest.metrics["unusable"] == result.json["import"]["left_out"] == {reason: 2}
    assert f"2 records were left out: 2 {reason}" in manifest.warnings
