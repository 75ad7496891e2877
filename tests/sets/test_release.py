"""A set is what its artifacts are, in 8 bits; it appears whole or not at all, and always the same."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from set_helpers import DEFAULTS, TWO, A

from rmlab.commands.release import new_set_folder
from rmlab.sets import write
from rmlab.storage.artifact import open_artifact
from rmlab.storage.set_record import open_set
from rmlab.storage.set_schema import SET_PROMPTS, SET_RESPONSES, SET_SCALES, SET_SCORES, set_embeddings


def artifact(artifacts, stage, fingerprint):
    [folder] = (artifacts / stage).glob(f"*-{fingerprint[:16]}")
    return open_artifact(folder)


@pytest.mark.parametrize("policy", ["a", "b"])
def test_the_tables_are_those_of_the_artifacts(small_set, set_artifacts, policy):
    opened = open_set(small_set)
    [record] = [p for p in opened.record.policies if p.name == policy]
    sample = artifact(set_artifacts, "sample", record.lineage["sample"]).read()
    responses = pq.read_table(small_set / f"responses-{policy}.parquet")
    assert responses.schema.equals(SET_RESPONSES.schema)
    assert responses.equals(sample.select(SET_RESPONSES.schema.names).cast(SET_RESPONSES.schema))
    scores = pq.read_table(small_set / f"scores-{policy}.parquet")
    assert scores.schema.equals(SET_SCORES.schema)
    for reward in ("sentiment", "length"):
        annotate = artifact(set_artifacts, "annotate", record.lineage[f"annotate:{reward}"]).read()
        of = scores.filter(pa.compute.equal(scores["reward"], reward))
        assert of.select(["response_id", "score"]).equals(
            annotate.select(["response_id", "score"]).cast(of.select(["response_id", "score"]).schema)
        )
    for embedder, d in (("wide", 64), ("narrow", 40)):
        embed = artifact(set_artifacts, "embed", record.lineage[f"embed:{embedder}"]).read()
        x = np.stack(embed["embedding"].to_pandas())
        table = pq.read_table(small_set / f"embeddings-{policy}-{embedder}.parquet")
        scale = pq.read_table(small_set / f"scales-{policy}-{embedder}.parquet")
        assert table.schema.equals(set_embeddings(d).schema) and scale.schema.equals(SET_SCALES.schema)
        assert table["response_id"].equals(embed["response_id"])
        s = scale["scale"].to_numpy()
        assert (np.abs(np.stack(table["embedding"].to_pandas()) * s - x) <= 0.5001 * s).all()
        assert np.allclose(np.abs(x).max(axis=0)[x.any(axis=0)], 127 * s[x.any(axis=0)])


def test_prompts_are_those_that_were_answered_train_first(small_set):
    prompts = pq.read_table(small_set / "prompts.parquet")
    assert prompts.schema.equals(SET_PROMPTS.schema)
    assert prompts["split"].to_pylist() == ["train"] * 12 + ["test"] * 6
    answered = set(pq.read_table(small_set / "responses-a.parquet")["prompt_id"].to_pylist())
    assert set(prompts["prompt_id"].to_pylist()) == answered


def test_the_card_shows_how_to_read_the_vectors(small_set, monkeypatch):
    """The lines of the card, as people would paste them."""
    [code] = re.findall(r"```python\n(.*?)```", (small_set / "README.md").read_text(), flags=re.DOTALL)
    monkeypatch.chdir(small_set)
    found: dict = {}
    exec(code, found)
    x = found["x"]
    assert x.dtype == np.float32 and x.shape == (pq.read_metadata("responses-a.parquet").num_rows, 64)
    q = np.stack(pd.read_parquet("embeddings-a-wide.parquet")["embedding"])
    assert np.array_equal(x, q * pd.read_parquet("scales-a-wide.parquet")["scale"].to_numpy())


def test_the_page_s_lines_are_the_card_s(small_set):
    page = (Path(__file__).parents[2] / "docs" / "embedding_sets.md").read_text()
    [of_page] = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    [of_card] = re.findall(r"```python\n(.*?)```", (small_set / "README.md").read_text(), flags=re.DOTALL)
    assert of_page == of_card.replace("-a-wide", "-base-minilm")


@pytest.mark.parametrize(
    "name", ["prompts", "responses-a", "scores-b", "embeddings-b-narrow", "scales-a-wide"]
)
def test_datasets_reads_each_table_by_its_name(small_set, name, tmp_path):
    datasets = pytest.importorskip("datasets")
    found = datasets.load_dataset(str(small_set), name, split="train", cache_dir=str(tmp_path))
    assert found.num_rows == pq.read_metadata(small_set / f"{name}.parquet").num_rows


def test_duckdb_and_polars_read_the_vectors(small_set):
    polars, duckdb = pytest.importorskip("polars"), pytest.importorskip("duckdb")
    file = str(small_set / "embeddings-a-narrow.parquet")
    mine = np.stack(pd.read_parquet(file)["embedding"])
    assert np.array_equal(polars.read_parquet(file)["embedding"].to_numpy(), mine)
    rows = duckdb.sql(f"select embedding from '{file}'").fetchall()
    assert np.array_equal(np.array([row[0] for row in rows]), mine)


def test_the_same_artifacts_give_the_same_bytes(small_set, make):
    again = make("small", *TWO)
    for file in small_set.iterdir():
        assert (again / file.name).read_bytes() == file.read_bytes(), file.name


def test_made_already_is_said_and_another_set_needs_force(cli, set_artifacts, make):
    out = make("one", A)
    settings = (*DEFAULTS, f"out={set_artifacts}", A)
    before = {f.name: f.stat().st_mtime_ns for f in out.iterdir()}
    again = cli("release", out, *settings, "--json")
    assert again.code == 0 and again.json["state"] == "already" and again.json["stages"] == []
    assert {f.name: f.stat().st_mtime_ns for f in out.iterdir()} == before
    other = cli("release", out, *settings, "embedder.dimension=16")
    assert other.code == 3 and "is there already" in other.line and "--force" in other.line
    assert {f.name: f.stat().st_mtime_ns for f in out.iterdir()} == before
    forced = cli("release", out, *settings, "embedder.dimension=80", "--force", "--json")
    assert forced.code == 0, forced.err
    assert forced.json["state"] == "done" and forced.json["record"]["embedders"][0]["dimension"] == 80
    assert [f.name for f in out.parent.iterdir()] == ["one"]


OUTDATED = {
    "licence": (lambda out: None, ("release.license=MIT",)),
    "licence's text": (lambda out: (out / "LICENSE").write_text("Another."), ()),
    "description": (lambda out: None, ("release.description=Of another kind.",)),
    "cut short": (lambda out: (out / "scores-a.parquet").write_bytes(b"x"), ()),
    "missing": (lambda out: (out / "scales-a-hashing.parquet").unlink(), ()),
}


@pytest.mark.parametrize("name", OUTDATED)
def test_a_set_with_other_words_or_a_damaged_file_is_not_called_made(cli, set_artifacts, make, name):
    change, more = OUTDATED[name]
    out = make("one", A)
    change(out)
    again = cli("release", out, *DEFAULTS, f"out={set_artifacts}", A, *more)
    assert again.code == 3 and "is there already" in again.line and "--force" in again.line


def test_a_card_that_was_edited_is_left_as_it_is(cli, set_artifacts, make):
    out = make("one", A, "release.description=Of my kind.")
    edited = (out / "README.md").read_text() + "\nMore of it.\n"
    (out / "README.md").write_text(edited)
    again = cli(
        "release", out, *DEFAULTS, f"out={set_artifacts}", A, "release.description=Of my kind.", "--json"
    )
    assert again.code == 0 and again.json["state"] == "already"
    assert (out / "README.md").read_text() == edited


def test_the_old_set_comes_back_where_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "set.json").write_text("old")
    rename = Path.rename

    def interrupted(self, to):
        if self.parent.name.endswith(".tmp"):
            raise KeyboardInterrupt
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), new_set_folder(tmp_path / "one", force=True) as folder:
        (folder / "set.json").write_text("new")
    assert [f.name for f in tmp_path.iterdir()] == ["one"]
    assert (tmp_path / "one" / "set.json").read_text() == "old"


def test_a_folder_of_other_things_is_left_alone(cli, set_artifacts, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    for force in ((), ("--force",)):
        result = cli("release", tmp_path / "mine", *DEFAULTS, f"out={set_artifacts}", A, *force)
        assert result.code == 3 and "is no embedding set" in result.line
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_a_set_that_fails_half_way_is_not_there(cli, set_artifacts, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write, "write_json", full)
    result = cli("release", tmp_path / "one", *DEFAULTS, f"out={set_artifacts}", A)
    assert result.code == 1 and "No space left" in result.line
    assert list(tmp_path.iterdir()) == []


def test_a_set_that_would_not_be_valid_is_not_released(cli, set_artifacts, tmp_path):
    result = cli("release", tmp_path / "one", *DEFAULTS, f"out={set_artifacts}", A, "embedder.dimension=2")
    assert result.code == 1 and "the set would not be valid" in result.line and "all zeros" in result.line
    assert list(tmp_path.iterdir()) == []


def test_dry_run_plans_and_writes_nothing(cli, tmp_path):
    result = cli(
        "release", tmp_path / "one", *DEFAULTS, f"out={tmp_path / 'out'}", *TWO, "--dry-run", "--json"
    )
    assert result.code == 0 and result.json["state"] == "planned"
    stages = [s["stage"] for s in result.json["stages"]]
    assert stages == ["prompts", *["sample"] * 2, *["annotate"] * 4, *["embed"] * 4]
    assert list(tmp_path.iterdir()) == []


WRONG = {
    "no licence": (("release.license=null",), "a set needs a licence"),
    "no licence file": (("release.license_file=no/such/file",), "cannot be read as text (No such file or directory)"),
    "blank licence": (("release.license=' '",), "the licence of a set must have 1 to 100 characters"),
    "long licence": ((f"release.license={'x' * 101}",), "the licence of a set must have 1 to 100 characters"),
    "device as licence file": (("release.license_file=/dev/null",), "cannot be read as text (it is no plain file)"),
    "reward": (("golden=[length]", "+golden.my-reward=${golden.length}"), "the golden reward my-reward needs another name"),
    "rewards": (("golden=[length]", "+golden.Length=${golden.length}"), "length, Length: two differ in capitals alone"),
    "hyphen": (("release.policies=['a-b: seed=1']",), "release.policies"),
    "one name": (("release.policies=['a: seed=1','A: seed=2']",), "give each its own name"),
    "no name": (("release.policies=['sft=none']",), "release.policies"),
    "same policies": (("release.policies=['a: seed=1','b: seed=2']",), "release.policies: a and b are the same"),
    "same embedders": ((A, "release.embedders=['a: seed=1','b: seed=2']"), "release.embedders: a and b are the same"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_settings_that_make_no_set(cli, set_artifacts, tmp_path, name):
    more, message = WRONG[name]
    result = cli("release", tmp_path / "one", *DEFAULTS, f"out={set_artifacts}", *more)
    assert result.code == 2 and message in result.line
    assert list(tmp_path.iterdir()) == []


def test_an_empty_licence_file_makes_no_set(cli, set_artifacts, tmp_path):
    (tmp_path / "text").touch()
    more = f"release.license_file={tmp_path / 'text'}"
    result = cli("release", tmp_path / "one", *DEFAULTS, f"out={set_artifacts}", more)
    assert result.code == 2 and "the file of the licence is empty" in result.line
    assert [file.name for file in tmp_path.iterdir()] == ["text"]


def test_a_name_that_is_too_long_is_found_before_anything_runs(cli, tmp_path):
    result = cli("release", tmp_path / ("x" * 101), *DEFAULTS, f"out={tmp_path / 'out'}", A)
    assert result.code == 2 and "the name of a set must have 1 to 100 characters" in result.line
    assert list(tmp_path.iterdir()) == []


def test_a_licence_s_text_is_taken_along(make, tmp_path):
    (tmp_path / "text").write_text("Do what you like.")
    out = make("one", A, f"release.license_file={tmp_path / 'text'}", "release.license=MIT")
    assert (out / "LICENSE").read_text() == "Do what you like."
    assert "license: mit" in (out / "README.md").read_text()


def test_policies_of_other_rewards_do_not_go_together(cli, set_artifacts, tmp_path):
    policies = (
        "release.policies=['a: generation_seed=0','b: generation_seed=1 golden.length.unit=characters']"
    )
    result = cli("release", tmp_path / "one", *DEFAULTS, f"out={set_artifacts}", policies)
    assert result.code == 3 and "annotate length is not the same for policies a and b" in result.line


def test_responses_that_a_reward_failed_on_are_left_out_and_counted(make, small_set, tmp_path):
    """An imported reward, NaN for some responses of the set that this one is made of."""
    scores = pd.read_parquet(small_set / "scores-a.parquet").query("reward == 'length'")
    numbers = np.where(np.arange(len(scores)) < 7, np.nan, scores["score"])  # NaN, which pandas makes null
    columns = {
        "response_id": list(scores["response_id"]),
        "reward": ["length"] * len(scores),
        "score": numbers,
    }
    pq.write_table(pa.table(columns), tmp_path / "mine.parquet")
    more = (
        "golden=[sentiment,file]",
        f"golden.file.path={tmp_path / 'mine.parquet'}",
        "golden.file.reward=length",
    )
    out = make("one", A, *more)
    record = open_set(out).record
    whole = open_set(small_set).record.policies[0].responses
    assert record.policies[0].left_out == 7 and record.policies[0].responses == whole - 7
    kept = set(pd.read_parquet(out / "responses-a.parquet")["response_id"])
    assert not kept & set(scores["response_id"][:7])
    assert str(tmp_path) not in (out / "set.json").read_text()  # names of files, not where they were
    assert "mine.parquet" in (out / "set.json").read_text()


def test_the_record_tells_how_it_was_made(small_set, set_artifacts):
    record = json.loads((small_set / "set.json").read_text())
    a, b = record["policies"]
    assert [p["made_by"]["sample"]["config"]["generation_seed"] for p in (a, b)] == [0, 1]
    sampled = artifact(set_artifacts, "sample", a["lineage"]["sample"]).manifest
    assert a["made_by"]["sample"]["config"] == sampled.config and a["made_by"]["versions"] == sampled.versions
    assert record["embedders"][1]["made_by"]["config"]["embedder"]["dimension"] == 40
    assert all(0 < e < 0.02 for e in record["embedders"][0]["error"].values())
