"""Heads start from a set: the choice of policy, reward and embedder decides which files are read."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from artifact_kinds import flip
from set_helpers import change_table, put

from rmlab.config.composed import Composed, composed_of
from rmlab.config.hydra import compose_both
from rmlab.storage.artifact import open_artifact
from rmlab.storage.set_record import open_set

SIZES = ("comparisons.n=60", "comparisons.n_validation=10", "evaluation.resamples=20")
ARMS = "arms=['head=linear loss=bradley_terry','head=trees loss=classification']"


def run(cli, folder, *more, command="run"):
    out = f"out={folder.parent / 'out'}"
    return cli(command, "experiment=embedding_set", f"input={folder}", out, *SIZES, *more)


def read_set(cli, folder, *more):
    """The stages before the heads: their JSON by name."""
    found = {}
    for stage in ("sample", "annotate", "embed"):
        result = run(cli, folder, "arms=[]", *more, "--json", command=stage)
        assert result.code == 0, result.err
        found |= {s["stage"]: s for s in result.json["stages"]}
    return found


CHOICES = {
    (): ("a", "sentiment", "wide"),
    ("set.policy=b", "set.reward=length", "set.embedder=narrow"): ("b", "length", "narrow"),
}


@pytest.mark.parametrize("choice", CHOICES)
def test_what_is_read_is_what_the_set_has(cli, copied, choice):
    policy, reward, embedder = CHOICES[choice]
    made = read_set(cli, copied, *choice)
    sample, annotate, embed = (open_artifact(Path(made[s]["path"])) for s in ("sample", "annotate", "embed"))
    frame = sample.read().to_pandas().drop(columns="group").set_index("response_id").sort_index()
    mine = pd.read_parquet(copied / f"responses-{policy}.parquet").set_index("response_id").sort_index()
    pd.testing.assert_frame_equal(frame, mine[frame.columns])
    scores = pd.read_parquet(copied / f"scores-{policy}.parquet").query(f"reward == '{reward}'")
    read = annotate.read().to_pandas()
    assert dict(zip(read["response_id"], read["score"])) == dict(zip(scores["response_id"], scores["score"]))
    x = embed.read().to_pandas().set_index("response_id")["embedding"]
    stored = pd.read_parquet(copied / f"embeddings-{policy}-{embedder}.parquet").set_index("response_id")
    scale = pd.read_parquet(copied / f"scales-{policy}-{embedder}.parquet")["scale"].to_numpy()
    assert np.array_equal(np.stack(x[stored.index]), np.stack(stored["embedding"]) * scale)
    assert made["sample"]["name"] == policy


def test_lineage_goes_back_to_the_checksums_of_the_set(cli, copied):
    made = read_set(cli, copied)
    known = open_set(copied).record.files
    for stage, names in {
        "prompts": ["prompts"],
        "sample": ["responses-a"],
        "annotate": ["scores-a"],
        "embed": ["embeddings-a-wide", "scales-a-wide"],
    }.items():
        inputs = open_artifact(Path(made[stage]["path"])).manifest.inputs
        files = {r.name.rpartition("/")[2]: r.fingerprint for r in inputs if r.kind == "file"}
        assert files == {f"{n}.parquet": f"sha256:{known[f'{n}.parquet'].sha256}" for n in names}


def test_from_a_set_to_the_report(cli, copied):
    result = run(cli, copied, ARMS, "--json")
    assert result.code == 0, result.err
    assert result.json["report"] and {s["state"] for s in result.json["stages"]} == {"done"}
    assert {"linear-bradley_terry", "trees-classification", "oracle"} <= set(
        result.json["evaluation"]["best_of_n"]
    )


def test_another_choice_makes_only_what_depends_on_it_again(cli, copied):
    first = {stage: made["fingerprint"] for stage, made in read_set(cli, copied).items()}
    other = run(cli, copied, "arms=[]", "set.embedder=narrow", "--dry-run", "--json").json["stages"]
    now = {s["stage"]: s["fingerprint"] for s in other}
    assert {stage for stage in first if first[stage] == now[stage]} == {"prompts", "sample", "annotate"}


@pytest.mark.slow
def test_a_sweep_over_embedders(cli, copied):
    read_set(cli, copied)
    read_set(cli, copied, "set.embedder=narrow")
    result = run(
        cli, copied, "set.embedder=wide,narrow", "arms=[]", "--workers", "1", "--json", command="sweep"
    )
    assert result.code == 0, result.err
    rows = pd.read_parquet(result.json["results"]).query("kind == 'head'")
    assert len(rows) == 2 and set(rows["state"]) == {"ok"}


BAD = {
    "policy": (("set.policy=c",), "set.policy=c: ", "has no such policy; it has a, b"),
    "reward": (("set.reward=joy",), "set.reward=joy: ", "has no such reward; it has sentiment, length"),
    "embedder": (("set.embedder=x",), "set.embedder=x: ", "has no such embedder; it has wide, narrow"),
    "folder": (("input=no/such",), "no/such is not an embedding set", "no such folder"),
}


@pytest.mark.parametrize("name", BAD)
def test_choices_that_a_set_does_not_have(cli, copied, name):
    more, *messages = BAD[name]
    result = run(cli, copied, *more)
    assert result.code == 3 and all(m in result.line for m in messages), result.line


def test_no_set_is_named(cli):
    result = cli("run", "experiment=embedding_set")
    assert result.code == 2 and "input" in result.line


@pytest.mark.parametrize("what", ["size", "bit"])
def test_a_file_that_changed_is_refused(cli, copied, what):
    file = copied / "scores-a.parquet"
    flip(file, 40) if what == "bit" else file.write_bytes(b"x")
    result = run(cli, copied)
    assert result.code == 3 and "scores-a.parquet differs from what set.json records" in result.line
    assert "rmlab validate" in result.line


def test_prompts_without_responses_of_the_policy_are_no_obstacle(cli, copied):
    """As in a study of sets with different prompts."""
    frame = pd.read_parquet(copied / "responses-a.parquet")
    gone = set(frame.loc[frame["prompt_id"] == frame["prompt_id"].iloc[0], "response_id"])

    def without(table):
        return table.filter(pa.array([i not in gone for i in table["response_id"].to_pylist()]))

    for name in ("responses-a", "embeddings-a-wide", "embeddings-a-narrow"):
        change_table(copied, f"{name}.parquet", without)
    assert read_set(cli, copied)["sample"]["rows"] == len(frame) - len(gone)


def test_a_damaged_value_is_found_by_whoever_reads_it(cli, copied):
    change_table(copied, "scales-a-wide.parquet", put("scale", 3, -1.0))
    result = run(cli, copied, ARMS)
    assert result.code == 3 and "scales-a-wide.parquet, row 4: scale is -1.0" in result.line


def test_a_value_mends_what_a_choice_alone_cannot_read(tmp_path, small_set):
    file = tmp_path / "experiment" / "mine.yaml"
    file.parent.mkdir()
    file.write_text("# @package _global_\ndefaults:\n  - embedding_set\ninput: nowhere\n")
    texts = ["experiment=mine", f"input={small_set}"]
    assert composed_of(texts, tmp_path) == Composed(*compose_both(texts, tmp_path))
