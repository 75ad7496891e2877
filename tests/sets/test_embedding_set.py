"""Heads start from a set: the choice of policy, reward and embedder decides which files are read."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from set_helpers import change_table, put

from rmlab.artifacts.artifact import open_artifact
from rmlab.artifacts.set_record import open_set

SIZES = ("comparisons.n=60", "comparisons.n_validation=10", "evaluation.resamples=20")
ARMS = "arms=['head=linear loss=bradley_terry','head=trees loss=classification']"


def run(cli, folder, *more, command="run"):
    out = f"out={folder.parent / 'out'}"
    return cli(command, "experiment=embedding_set", f"input={folder}", out, *SIZES, *more)


def node(result, stage):
    return next(s for s in result.json["stages"] if s["stage"] == stage)


CHOICES = {
    (): ("a", "sentiment", "wide"),
    ("set.policy=b", "set.reward=length", "set.embedder=narrow"): ("b", "length", "narrow"),
}


@pytest.mark.parametrize("choice", CHOICES)
def test_a_run_from_a_set(cli, copied, choice):
    policy, reward, embedder = CHOICES[choice]
    result = run(cli, copied, ARMS, *choice, "--json")
    assert result.code == 0, result.err
    sample = open_artifact(copied.parent / node(result, "sample")["path"])
    frame = sample.read().to_pandas().drop(columns="group").set_index("response_id").sort_index()
    mine = pd.read_parquet(copied / f"responses-{policy}.parquet").set_index("response_id").sort_index()
    pd.testing.assert_frame_equal(frame, mine[frame.columns])
    scores = pd.read_parquet(copied / f"scores-{policy}.parquet").query(f"reward == '{reward}'")
    read = open_artifact(copied.parent / node(result, "annotate")["path"]).read().to_pandas()
    assert dict(zip(read["response_id"], read["score"])) == dict(zip(scores["response_id"], scores["score"]))
    embed = open_artifact(copied.parent / node(result, "embed")["path"])
    x = embed.read().to_pandas().set_index("response_id")["embedding"]
    q = pd.read_parquet(copied / f"embeddings-{policy}-{embedder}.parquet").set_index("response_id")[
        "embedding"
    ]
    scale = pd.read_parquet(copied / f"scales-{policy}-{embedder}.parquet")["scale"].to_numpy()
    assert np.array_equal(np.stack(x[q.index]), np.stack(q) * scale)
    assert node(result, "sample")["name"] == policy
    files = {r.name.rpartition("/")[2]: r.fingerprint for r in embed.manifest.inputs if r.kind == "file"}
    known = open_set(copied).record.files
    assert files == {
        n: f"sha256:{known[n].sha256}"
        for n in (f"embeddings-{policy}-{embedder}.parquet", f"scales-{policy}-{embedder}.parquet")
    }
    assert "report" in result.json and result.json["evaluation"]["best_of_n"]


def test_another_choice_makes_only_what_depends_on_it_again(cli, copied):
    first = run(cli, copied, "arms=[]", "--json").json["stages"]
    other = run(cli, copied, "arms=[]", "set.embedder=narrow", "--json").json["stages"]
    states = {s["stage"]: s["state"] for s in other}
    assert {s["state"] for s in first} == {"done"}
    assert [states[n] for n in ("prompts", "sample", "annotate", "embed")] == ["already"] * 3 + ["done"]


def test_a_sweep_over_policies_and_embedders(cli, copied):
    axes = ("set.policy=a,b", "set.embedder=wide,narrow")
    for policy in "ab":
        for embedder in ("wide", "narrow"):
            choice = (f"set.policy={policy}", f"set.embedder={embedder}", "arms=[]", "head=linear")
            assert run(cli, copied, *choice).code == 0
    result = run(cli, copied, *axes, "seed=0,1", "arms=[]", "--json", command="sweep")
    assert result.code == 0, result.err
    rows = pd.read_parquet(result.json["results"]).query("kind == 'head'")
    assert len(rows) == 8 and set(rows["state"]) == {"ok"}


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


def test_a_file_that_changed_size_is_refused(cli, copied):
    (copied / "scores-a.parquet").write_bytes(b"x")
    result = run(cli, copied)
    assert result.code == 3 and "scores-a.parquet is not as set.json has it" in result.line
    assert "rmlab validate" in result.line


def test_prompts_without_responses_of_the_policy_are_no_obstacle(cli, copied):
    """As in a study of sets with different prompts."""
    frame = pd.read_parquet(copied / "responses-a.parquet")
    gone = set(frame.loc[frame["prompt_id"] == frame["prompt_id"].iloc[0], "response_id"])

    def without(table):
        return table.filter(pa.array([i not in gone for i in table["response_id"].to_pylist()]))

    for name in ("responses-a", "embeddings-a-wide", "embeddings-a-narrow"):
        change_table(copied, f"{name}.parquet", without)
    result = run(cli, copied, "arms=[]", "--json")
    assert result.code == 0, result.err
    assert node(result, "sample")["rows"] == len(frame) - len(gone)


def test_a_damaged_value_is_found_by_whoever_reads_it(cli, copied):
    change_table(copied, "scales-a-wide.parquet", put("scale", 3, -1.0))
    result = run(cli, copied)
    assert result.code == 3 and "scales-a-wide.parquet, row 4: scale is -1.0" in result.line
