"""set.test_policy: heads are fitted on the responses of one policy and judged on those of another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from set_helpers import change_table, put

from rmlab.embedders.recorded import FileEmbedder
from rmlab.errors import InputError
from rmlab.models.compute import Compute
from rmlab.models.text.rendering import Exchange
from rmlab.storage.artifact import open_artifact

SIZES = ("comparisons.n=60", "comparisons.n_validation=10", "evaluation.resamples=20")
ONE = "arms=['head=linear loss=bradley_terry']"


def run(cli, folder, *more, command="run"):
    out = f"out={folder.parent / 'out'}"
    return cli(command, "experiment=embedding_set", f"input={folder}", out, *SIZES, ONE, *more)


def stages(cli, folder, *more):
    """The artifact of each stage."""
    result = run(cli, folder, *more, "--json")
    assert result.code == 0, result.err
    return {s["stage"]: open_artifact(Path(s["path"])) for s in result.json["stages"]}


def stored(folder, policy, embedder="wide"):
    """[response_id] vectors as the set has them."""
    table = pd.read_parquet(folder / f"embeddings-{policy}-{embedder}.parquet").set_index("response_id")
    scale = pd.read_parquet(folder / f"scales-{policy}-{embedder}.parquet")["scale"].to_numpy()
    return {i: v * scale for i, v in zip(table.index, table["embedding"], strict=True)}


def test_train_responses_are_of_one_policy_and_test_responses_of_the_other(cli, copied):
    made = stages(cli, copied, "set.policy=a", "set.test_policy=b")
    both = {p: pd.read_parquet(copied / f"responses-{p}.parquet") for p in "ab"}
    found = made["sample"].read().to_pandas()
    for split, policy in (("train", "a"), ("test", "b")):
        mine = both[policy].query(f"split == '{split}'").set_index("response_id")["text"]
        assert found.query(f"split == '{split}'").set_index("response_id")["text"].to_dict() == mine.to_dict()
    scores = pd.concat(pd.read_parquet(copied / f"scores-{p}.parquet") for p in "ab")
    known = scores.query("reward == 'sentiment'").set_index("response_id")["score"]
    annotated = made["annotate"].read().to_pandas().set_index("response_id")["score"]
    assert annotated.to_dict() == known[annotated.index].to_dict()
    vectors = stored(copied, "a") | stored(copied, "b")
    embedded = made["embed"].read().to_pandas().set_index("response_id")["embedding"]
    assert all(np.array_equal(v, vectors[i].astype(np.float32)) for i, v in embedded.items())
    assert not any("belong to no response" in w for w in made["embed"].manifest.warnings)


@pytest.mark.slow
def test_the_head_is_that_of_the_one_policy_and_its_test_scores_those_of_the_other(cli, copied):
    """Judging b by hand: the head that was fitted on a alone, applied to b's vectors."""
    from rmlab.heads.fitted.load import load_head

    crossed = stages(cli, copied, "set.policy=a", "set.test_policy=b")
    alone = stages(cli, copied, "set.policy=a")
    heads = [load_head(made["fit_rm"].path / "head") for made in (crossed, alone)]
    assert heads[0].weight.tobytes() == heads[1].weight.tobytes()
    scores = crossed["eval_rm"].read("head_scores").to_pandas().query("split == 'test'")
    scores = scores[scores["arm"].str.startswith("linear")].set_index("response_id")
    vectors = stored(copied, "b")
    assert set(scores.index) <= set(vectors) and len(scores)
    expected = heads[1].score(np.stack([vectors[i] for i in scores.index]).astype(np.float32))
    np.testing.assert_allclose(scores["score"], expected, rtol=1e-5, atol=1e-6)


def test_the_policy_itself_is_the_same_run(cli, copied):
    """Bit for bit: every fingerprint is that of a run without set.test_policy, so nothing is made again."""
    alone, named = (stages(cli, copied, *more) for more in ((), ("set.test_policy=a",)))
    assert {s: a.manifest.fingerprint for s, a in alone.items()} == {
        s: a.manifest.fingerprint for s, a in named.items()
    }


def test_what_does_not_go_together_is_one_line(cli, copied):
    assert "set.test_policy=c: " in (line := run(cli, copied, "set.test_policy=c").line)
    assert line.endswith("has no such policy; it has a, b")
    refused = run(cli, copied, "set.test_policy=b", "crossval.folds=3")
    assert (
        refused.code == 2 and "crossval.folds fits heads on train and test prompts together" in refused.line
    )
    change_table(copied, "responses-b.parquet", put("split", 0, "trial"))
    assert "'split' must be train or test, got trial" in run(cli, copied, "set.test_policy=b").line


def test_ids_that_both_policies_have_are_refused(cli, copied):
    test = pd.read_parquet(copied / "responses-b.parquet")["split"].tolist().index("test")
    first = pd.read_parquet(copied / "responses-a.parquet").query("split == 'train'")["response_id"].iloc[0]
    change_table(copied, "responses-b.parquet", put("response_id", test, first))
    assert f"response_id {first} repeats " in run(cli, copied, "set.test_policy=b").line


def write(folder: Path, name: str, ids: list[str], x: np.ndarray) -> str:
    kind = pa.list_(pa.from_numpy_dtype(x.dtype), x.shape[1])
    table = pa.table({"response_id": ids, "embedding": pa.array(list(x), kind)})
    pq.write_table(table, folder / f"{name}.parquet")
    return str(folder / f"{name}.parquet")


def scale(folder: Path, name: str, values: list[float]) -> str:
    table = pa.table({"dimension": np.arange(len(values)), "scale": np.array(values, dtype=np.float32)})
    pq.write_table(table, folder / f"{name}.parquet")
    return str(folder / f"{name}.parquet")


def test_each_file_of_vectors_has_its_own_scales(tmp_path):
    x = np.array([[1, 2], [3, 4]], dtype=np.int8)
    how = {
        "path": write(tmp_path, "a", ["a0", "a1"], x),
        "scales": scale(tmp_path, "sa", [1, 10]),
        "test_path": write(tmp_path, "b", ["b0", "b1"], x),
        "test_scales": scale(tmp_path, "sb", [0.5, 2]),
    }
    session = FileEmbedder(**how).open("", "plain", Compute())
    exchanges = [Exchange("p", i, [], "text") for i in ("b1", "a0")]
    found = session.embed(exchanges, lambda n, tokens: None).vectors
    assert np.array_equal(found, [[1.5, 8], [1, 20]])
    assert session.check(["b1", "a0"]) == 0


def test_vectors_of_two_models_are_not_mixed(tmp_path):
    path = write(tmp_path, "a", ["a0"], np.ones((1, 2), dtype=np.float32))
    wide = write(tmp_path, "b", ["b0"], np.ones((1, 3), dtype=np.float32))
    with pytest.raises(InputError, match=r"b.parquet has vectors of 3 values .* of 2 in float32; embed both"):
        FileEmbedder(path, test_path=wide).open("", "plain", Compute())
    same = write(tmp_path, "c", ["c0", "a0"], np.ones((2, 2), dtype=np.float32))
    with pytest.raises(InputError, match=r"c.parquet, row 2: response_id a0 repeats a row of .*a.parquet"):
        FileEmbedder(path, test_path=same).open("", "plain", Compute())
    with pytest.raises(ValueError, match="test_scales are of the vectors in test_path: give that too"):
        FileEmbedder(path, test_scales=path)
