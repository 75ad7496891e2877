"""People start from their own prompts, responses, scores and embeddings; no model is needed anywhere."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rmlab.storage.artifact import open_artifact

SIZES = ("comparisons.n=60", "comparisons.n_validation=10", "evaluation.resamples=20", "noise=none")
D = 5


def write_vectors(path, ids, x):
    flat = pa.array(x.reshape(-1))
    pq.write_table(
        pa.table({"response_id": ids, "embedding": pa.FixedSizeListArray.from_arrays(flat, D)}), path
    )


@pytest.fixture
def folder(tmp_path):
    """18 prompts with 5 responses each, whose score is a direction of their float16 embedding."""
    folder, rng = tmp_path / "mine", np.random.default_rng(0)
    folder.mkdir()
    prompts = [
        {"prompt_id": f"p{i}", "prompt": f"question {i}", "split": "train" if i % 3 else "test"}
        for i in range(18)
    ]
    pd.DataFrame(prompts).to_parquet(folder / "prompts.parquet")
    ids = [f"p{i}-{k}" for i in range(18) for k in range(5)]
    x = rng.normal(size=(len(ids), D)).astype(np.float16)
    rows = {
        "response_id": ids,
        "prompt_id": [i.partition("-")[0] for i in ids],
        "response": [f"answer {i}" for i in ids],
        "score": x[:, 0].astype(float),
        "features": list(x.astype(np.float32)),  # columns that nothing asks for are not read
    }
    pd.DataFrame(rows).to_parquet(folder / "responses.parquet")
    order = rng.permutation(len(ids))
    write_vectors(folder / "embeddings.parquet", [ids[k] for k in order], x[order])
    return folder


def change(folder, how):
    """Rewrites the embeddings, as how(ids, x) gives them."""
    table = pq.read_table(folder / "embeddings.parquet")
    x = table["embedding"].combine_chunks().flatten().to_numpy().reshape(-1, D).copy()
    write_vectors(folder / "embeddings.parquet", *how(table["response_id"].to_pylist(), x))


def run(cli, folder, *more):
    return cli(
        "run",
        "experiment=own_embeddings",
        f"input={folder}",
        f"out={folder.parent / 'out'}",
        "model=./no/such/folder",
        *SIZES,
        *more,
    )


def test_heads_on_own_embeddings(cli, folder):
    result = run(cli, folder, "--json")
    assert result.code == 0, result.err
    found = {s["stage"]: s for s in result.json["stages"]}
    assert found["embed"]["rows"] == 90 and "sft" not in found
    embed = open_artifact(Path(found["embed"]["path"])).read()
    assert embed.schema.field("embedding").type.value_type == pa.float16()
    mine = pq.read_table(folder / "embeddings.parquet").to_pandas().set_index("response_id")["embedding"]
    for row in embed.to_pylist():
        assert np.array_equal(row["embedding"], mine[row["response_id"]]) and row["n_tokens"] == -1
    assert found["embed"]["counts"]["response_tokens"] == 0 and found["embed"]["warnings"] == []
    best = result.json["evaluation"]["best_of_n"]
    assert best["linear-bradley_terry"]["value"] > 0.9 * best["oracle"]["value"] > 0.5


def test_each_file_may_be_elsewhere_and_more_embeddings_are_counted(cli, folder):
    change(folder, lambda ids, x: ([*ids, "x", "y"], np.concatenate([x, x[:2]])))
    for name in ("prompts", "responses", "embeddings"):
        (folder / f"{name}.parquet").rename(folder.parent / f"{name}-2.parquet")
    paths = [
        f"{key}={folder.parent / name}-2.parquet"
        for key, name in (
            ("prompts.path", "prompts"),
            ("sampler.path", "responses"),
            ("golden.file.path", "responses"),
            ("embedder.path", "embeddings"),
        )
    ]
    result = run(cli, folder, *paths, "prompts_per_shard=4", "embedder.storage=float32", "--json")
    assert result.code == 0, result.err
    embed = next(s for s in result.json["stages"] if s["stage"] == "embed")
    assert embed["metrics"]["unused_embeddings"] == 2 and len(open_artifact(Path(embed["path"])).parts) == 5
    assert embed["warnings"] == ["2 embeddings belong to no response and were left out"]


def test_scratch_and_shards_change_no_fingerprint(cli, folder):
    def prints(*more):
        return [s["fingerprint"] for s in run(cli, folder, "--dry-run", "--json", *more).json["stages"]]

    plain = prints()
    assert plain == prints("embedder.scratch=elsewhere", "prompts_per_shard=3")
    assert plain != prints("embedder.storage=float32")
    change(folder, lambda ids, x: (ids, x + np.float16(1)))
    assert plain != prints()


BAD = {
    "missing": (lambda ids, x: (ids[2:], x[2:]), (), "no embedding for 2 of 90 responses, such as p"),
    "twice": (lambda ids, x: ([*ids, ids[4]], np.concatenate([x, x[:1]])), (), "row 91: response_id p"),
    "NaN": (lambda ids, x: (ids, np.where(x == x[3, 2], np.float16("nan"), x)), (), "1 embeddings hold NaN"),
    "overflow": (
        lambda ids, x: (ids, x.astype(np.float32) * 1e6),
        ("embedder.storage=float16",),
        "row 1: a value of",
    ),
    "column": (lambda ids, x: (ids, x), ("embedder.column=vector",), "no column 'vector'"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_embeddings_are_one_line_and_the_next_run_goes_on(cli, folder, name):
    how, more, message = BAD[name]
    good = (folder / "embeddings.parquet").read_bytes()
    change(folder, how)
    result = run(cli, folder, *more)
    assert result.code == 3 and message in result.line and "embeddings.parquet" in result.line
    assert not list((folder.parent / "out" / "embed").glob("*/manifest.json"))
    (folder / "embeddings.parquet").write_bytes(good)
    again = cli("embed", "experiment=own_embeddings", f"input={folder}", f"out={folder.parent / 'out'}", *SIZES,
                "model=./no/such/folder", "--json")  # fmt: skip
    assert again.code == 0, again.err


def test_responses_without_ids_are_told_what_is_missing(cli, folder):
    path = folder / "responses.parquet"
    pd.read_parquet(path).drop(columns="response_id").to_parquet(path)
    result = run(cli, folder)
    assert result.code == 3 and "no embedding for 90 of 90 responses" in result.line
    assert "the same response_id column" in result.line


def test_a_folder_without_the_files(cli, tmp_path):
    result = run(cli, tmp_path / "none")
    told = result.err.splitlines()
    assert result.code == 3 and len(told) == 3
    for name, line in zip(("prompts", "responses", "embeddings"), told, strict=True):
        assert f"none/{name}.parquet does not exist" in line
