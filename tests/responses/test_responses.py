import errno
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rmlab.errors import InputError
from rmlab.heads.fitted.load import load_head
from rmlab.responses.table import golden_of, positions, read_responses
from rmlab.responses.vectors import MappedVectors, StreamedVectors, map_vectors
from rmlab.storage.artifact import Artifact, open_artifact
from rmlab.storage.manifest import FileRecord


def artifact(run, stage):
    return open_artifact(sorted((run / stage).iterdir())[-1])


def test_tables_are_joined_by_id_whatever_their_order(small_run):
    sample, embed = artifact(small_run, "sample"), artifact(small_run, "embed")
    annotate = artifact(small_run, "annotate")
    r = read_responses(sample, annotate, ["train"])
    scores = annotate.read().to_pandas().set_index("response_id")["score"]
    assert len(r) == 60 and np.array_equal(r.golden, scores[r.ids.tolist()].to_numpy())
    vectors = embed.read().to_pandas().set_index("response_id")["embedding"]
    mixed = np.random.default_rng(0).permutation(r.ids.tolist())
    expected = np.stack(vectors[mixed].to_numpy())
    assert np.array_equal(StreamedVectors(embed, pa.array(mixed)).rows(np.arange(len(mixed))), expected)


def test_a_missing_or_doubled_id_is_an_error():
    wanted = pa.chunked_array([["a", "b"]])
    assert positions(wanted, pa.chunked_array([["b", "a"]]), "x: no").tolist() == [1, 0]
    with pytest.raises(InputError, match="no score for 1 responses, such as b"):
        positions(wanted, pa.chunked_array([["a"]]), "x: no score for")
    with pytest.raises(InputError, match="ids repeat"):
        positions(wanted, pa.chunked_array([["a", "b", "a"]]), "x: no")


def test_no_validation_prompt_is_fitted_on(small_run):
    for folder in (small_run / "fit_rm").iterdir():
        rows = pq.read_table(folder / "comparisons.parquet").to_pandas()
        by_split = {s: set(np.concatenate(g["prompt_ids"].to_numpy())) for s, g in rows.groupby("split")}
        assert set(by_split) == {"train", "validation"} and not by_split["train"] & by_split["validation"]


def test_the_realised_noise_is_what_the_saved_pairs_say(small_run):
    scores = artifact(small_run, "annotate")
    for folder in (small_run / "fit_rm").iterdir():
        m = open_artifact(folder).manifest
        rows = pq.read_table(folder / "comparisons.parquet").to_pandas()
        train = rows[rows["split"] == "train"]
        golden = next(
            pd.read_parquet(f / "part-00000.parquet").set_index("response_id")["score"]
            for f in sorted((small_run / "annotate").glob("sentiment-*"))
        )
        gap = np.array([golden[a] - golden[b] for a, b in train["items"]])
        assert np.array_equal(gap > 0, train["correct"]) and np.allclose(np.abs(gap), train["margin"])
        assert m.metrics["train_labels"]["error_rate"] == pytest.approx((gap < 0).mean())
    assert scores.manifest.rows == 96


def test_a_saved_head_gives_the_scores_of_the_evaluation(small_run):
    evaluation = artifact(small_run, "eval_rm").read("head_scores").to_pandas()
    embed = artifact(small_run, "embed")
    for folder in (small_run / "fit_rm").iterdir():
        arm = open_artifact(folder).manifest.name
        rows = evaluation[(evaluation["arm"] == arm) & (evaluation["split"] == "test")]
        x = StreamedVectors(embed, pa.array(rows["response_id"], pa.string())).rows(np.arange(len(rows)))
        # Blocks of other sizes round differently in the last bit.
        np.testing.assert_allclose(load_head(folder / "head").score(x), rows["score"], rtol=1e-12)


@pytest.mark.parametrize("kind", ["streamed", "mapped"])
def test_vectors_by_row_in_blocks_and_in_part(small_run, kind, tmp_path):
    embed = artifact(small_run, "embed")
    table = embed.read()
    ids = np.random.default_rng(1).permutation(table["response_id"].to_numpy())[:50]
    by_id = dict(zip(table["response_id"].to_pylist(), table["embedding"].to_pylist(), strict=True))
    expected = np.array([by_id[i] for i in ids], dtype=np.float32)
    vectors = StreamedVectors(embed, pa.array(ids, pa.string()))
    if kind == "mapped":
        vectors = map_vectors(vectors, len(ids), tmp_path / "x.npy")
        assert isinstance(vectors, MappedVectors)
    rows = np.array([7, 3, 3, 40])
    assert np.array_equal(vectors.rows(rows), expected[rows])
    wanted = np.arange(50) % 3 == 0
    for mask in (None, wanted):
        found = np.full(expected.shape, np.nan, dtype=np.float32)
        for at, x in vectors.blocks(mask):
            assert np.isnan(found[at]).all(), "every row once"
            found[at] = x
        asked = np.ones(50, dtype=bool) if mask is None else mask
        assert np.array_equal(found[asked], expected[asked]) and np.isnan(found[~asked]).all()


def test_a_disk_without_room_for_mapped_vectors_is_an_error_before_any_write(
    small_run, tmp_path, monkeypatch
):
    """A write through a map to a full disk would end the process by a signal."""

    def full(_file, start, n):
        assert start == 0 and n == (tmp_path / ".x.npy.tmp").stat().st_size > 10 * 4 * 8
        raise OSError(errno.ENOSPC, "No space left on device")

    embed = artifact(small_run, "embed")
    ids = pa.array(embed.read()["response_id"].to_pylist()[:10], pa.string())
    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        map_vectors(StreamedVectors(embed, ids), 10, tmp_path / "x.npy")
    assert not (tmp_path / "x.npy").exists()


def cut(embed, folder, sizes, rows_per_group):
    """The same embeddings in parts of these sizes, and in row groups."""
    table, first, files = embed.read(), 0, []
    folder.mkdir()
    for k, n in enumerate(sizes):
        path = folder / f"part-{k:05d}.parquet"
        pq.write_table(table.slice(first, n), path, row_group_size=rows_per_group, write_page_checksum=True)
        files.append(FileRecord(path.name, path.stat().st_size, "", n))
        first += n
    assert first == table.num_rows
    return Artifact(folder, replace(embed.manifest, files=files))


@pytest.mark.parametrize("masked", [False, True])
def test_blocks_are_the_same_however_the_artifact_is_cut(small_run, tmp_path, monkeypatch, masked):
    monkeypatch.setattr("rmlab.responses.vectors.ROWS_AT_ONCE", 9)
    monkeypatch.setattr("rmlab.responses.vectors.ROWS_IN_CACHE", 10)
    embed = artifact(small_run, "embed")
    rng = np.random.default_rng(2)
    known = embed.read()["response_id"].to_numpy()
    ids = rng.permutation(known)[:80]
    wanted = rng.random(80) < 0.7 if masked else np.ones(80, dtype=bool)
    asked = [list(ids).index(i) for i in known if i in set(ids[wanted])]  # in the artifact's order
    cuts = [((96,), 96), ((96,), 7), ((1,) * 96, 5), ((50, 3, 3, 40), 16), ((10, 20, 0, 66), 10)]
    for k, (sizes, rows_per_group) in enumerate(cuts):
        vectors = StreamedVectors(
            cut(embed, tmp_path / str(k), sizes, rows_per_group), pa.array(ids, pa.string())
        )
        blocks = [[at.tolist() for at, _ in piece()] for piece in vectors.pieces(wanted)]
        assert [at for piece in blocks for at in piece] == [
            asked[s : s + 10] for s in range(0, len(asked), 10)
        ]
        assert all(blocks), "no piece without a block"
        whole = StreamedVectors(embed, pa.array(ids, pa.string())).rows(np.array(asked))
        assert np.array_equal(
            np.concatenate([x for piece in vectors.pieces(wanted) for _, x in piece()]), whole
        )
        assert np.array_equal(np.concatenate([x for _, x in vectors.blocks(wanted)]), whole)
        assert [len(at) for at, _ in vectors.blocks(wanted)][:-1] == [9] * ((len(asked) - 1) // 9)


def test_a_sample_is_spread_over_the_wanted_rows(small_run):
    embed = artifact(small_run, "embed")
    vectors = StreamedVectors(embed, embed.read()["response_id"].combine_chunks())
    wanted = np.arange(96) >= 20
    everything = vectors.rows(np.arange(96))
    for n in (1, 16, 40, 96, 1000):
        sample = vectors.sample(wanted, n)
        rows = {int(np.flatnonzero((everything == x).all(axis=1))[0]) for x in sample}
        assert min(rows) >= 20 and len(sample) <= max(n, 8)
        assert n >= 76 or len(sample) >= min(n, 8)
        if n > 8:
            assert np.array_equal(sample[[0, -1]], everything[[20, 95]])


def test_a_sample_of_many_row_groups_has_the_beginning_of_some(small_run, tmp_path):
    embed = artifact(small_run, "embed")
    ids = embed.read()["response_id"].combine_chunks()
    vectors = StreamedVectors(cut(embed, tmp_path / "cut", (96,), 8), ids)
    wanted = np.arange(96) >= 20
    begun = [
        20,
        24,
        32,
        40,
        56,
        64,
        72,
        88,
    ]  # eight of the ten groups with wanted rows, from the first such row
    assert np.array_equal(
        vectors.sample(wanted, 16), vectors.rows(np.array([[k, k + 1] for k in begun]).ravel())
    )


@pytest.mark.parametrize("stored", [pa.float16(), pa.float32()])
def test_vectors_are_read_as_they_were_written(small_run, tmp_path, stored):
    """Wanted rows in no order, some row groups without one; against numpy's conversion."""
    x = np.random.default_rng(0).normal(size=(50, 3)).astype(stored.to_pandas_dtype())
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), type=pa.list_(stored, 3))
    ids = np.random.default_rng(1).permutation([f"r{k}" for k in range(50)])
    table = pa.table({"response_id": ids, "embedding": vectors})
    (tmp_path / "a").mkdir()
    path = tmp_path / "a" / "part-00000.parquet"
    pq.write_table(table, path, row_group_size=7, write_page_checksum=True)
    record = FileRecord(path.name, path.stat().st_size, "", 50)
    of_ids = pa.array([f"r{k}" for k in range(50)])
    found = StreamedVectors(
        Artifact(tmp_path / "a", replace(artifact(small_run, "embed").manifest, files=[record])), of_ids
    )
    wanted = (np.arange(50) % 5 != 0) & (np.arange(50) > 9)
    for rows, block in found.blocks(wanted):
        assert block.dtype == np.float32 and wanted[rows].all()
        expected = np.array([x[list(ids).index(f"r{k}")] for k in rows]).astype(np.float32)
        np.testing.assert_array_equal(block, expected)


def test_responses_without_an_embedding_are_counted(small_run):
    with pytest.raises(InputError, match="no embedding for 2 responses, such as a; run that stage again"):
        StreamedVectors(artifact(small_run, "embed"), pa.array(["a", "b"])).rows(np.array([0]))


def written(folder: Path, artifact: Artifact, parts: list[dict]) -> Artifact:
    """An artifact of these rows, with the manifest of another."""
    folder.mkdir()
    files = []
    for k, columns in enumerate(parts):
        path = folder / f"part-{k:05d}.parquet"
        table = pa.table(columns)
        pq.write_table(table, path, write_page_checksum=True)
        files.append(FileRecord(path.name, path.stat().st_size, "", table.num_rows))
    return Artifact(folder, replace(artifact.manifest, files=files))


def sampled(ids: str, prompts: str, groups: str, splits: str) -> dict:
    names = {"r": "train", "e": "test", "x": "other"}
    columns = {"response_id": list(ids), "prompt_id": list(prompts), "group": list(groups)}
    return columns | {"split": [names[s] for s in splits]}


def test_rows_are_by_id_and_prompts_by_theirs_wherever_they_stand(small_run, tmp_path):
    """q has responses in three parts; x, which comes first, is of a split that is not asked for; y has no score."""
    parts = [
        sampled("fbx", "qpa", "gha", "rrx"),
        sampled("yd", "bq", "bg", "rr"),
        sampled("ca", "zq", "hg", "er"),
    ]
    sample = written(tmp_path / "s", artifact(small_run, "sample"), parts)
    scores = [
        {"response_id": list("abc"), "score": [1.0, 2, 3]},
        {"response_id": list("dfxy"), "score": [4.0, 5, 6, np.nan]},
    ]
    annotate = written(tmp_path / "a", artifact(small_run, "annotate"), scores)
    r = read_responses(sample, annotate, ["train", "test"])
    assert r.ids.tolist() == list("abcdf") and r.golden.tolist() == [1, 2, 3, 4, 5] and r.n_failed == 1
    assert r.prompt_ids.tolist() == list("qpzqq") and r.group.tolist() == [1, 0, 2, 1, 1]
    assert r.split_groups.tolist() == list("ghhgg") and r.is_test.tolist() == [
        False,
        False,
        True,
        False,
        False,
    ]
    assert (r.distinct_prompts, r.distinct_groups) == (list("pqz"), list("hgh"))
    kept = r.take(np.array([2, 0]))
    assert (kept.distinct_prompts, kept.group.tolist(), kept.ids.tolist()) == (list("qz"), [2, 1], list("ca"))
    assert r.of_groups({"h"}).tolist() == [False, True, True, False, False]


def test_a_prompt_that_is_a_group_of_its_own_needs_no_name_of_one(small_run):
    r = read_responses(artifact(small_run, "sample"), artifact(small_run, "annotate"), ["test"])
    assert r.split_groups is None and r.distinct_groups == r.distinct_prompts == sorted(
        set(r.prompt_ids.tolist())
    )


def test_a_response_that_stands_twice_is_an_error(small_run, tmp_path):
    sample = written(tmp_path / "s", artifact(small_run, "sample"), [sampled("aba", "ppp", "ppp", "rrr")])
    annotate = written(
        tmp_path / "a", artifact(small_run, "annotate"), [{"response_id": list("ab"), "score": [1.0, 2]}]
    )
    with pytest.raises(InputError, match="response ids repeat; run its stage again with --force"):
        read_responses(sample, annotate, ["train"])


def test_each_response_has_one_score(small_run, tmp_path):
    """Parts of an artifact in any order, with rows that are not asked for."""
    whole, ids = artifact(small_run, "annotate"), pa.array(["b", "a"])
    first = {"response_id": ["x", "a"], "score": [9.0, 1.0]}
    b = {"response_id": ["b"], "score": [2.0]}
    assert golden_of(written(tmp_path / "one", whole, [first, b]), ids).tolist() == [2, 1]
    with pytest.raises(InputError, match="no score for 1 responses, such as b; run that stage again"):
        golden_of(written(tmp_path / "none", whole, [first]), ids)
    with pytest.raises(InputError, match="response ids repeat; run its stage again with --force"):
        golden_of(written(tmp_path / "two", whole, [first, b, b]), ids)
