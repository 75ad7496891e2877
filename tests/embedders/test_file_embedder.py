"""Vectors out of a Parquet file: those of the file, under their ids, in bounded memory; bad files are one line."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rmlab.embedders import recorded as file
from rmlab.embedders.recorded import FileEmbedder
from rmlab.errors import InputError
from rmlab.models.compute import Compute
from rmlab.models.text.rendering import Exchange

N, D = 50, 6
IDS = [f"r{i}" for i in range(N)]
X = np.random.default_rng(0).normal(size=(N, D))
FLOATS = {"float16": pa.float16(), "float32": pa.float32(), "float64": pa.float64()}


def lists(x, kind="float32", shape="fixed"):
    """The rows of x as a column of lists: fixed, list or large."""
    flat = pa.array(np.asarray(x).astype(kind).reshape(-1), type=FLOATS[kind])
    if shape == "fixed":
        return pa.FixedSizeListArray.from_arrays(flat, len(x[0]))
    cls, offset = (pa.LargeListArray, np.int64) if shape == "large" else (pa.ListArray, np.int32)
    return cls.from_arrays(pa.array(np.arange(len(x) + 1, dtype=offset) * len(x[0])), flat)


def write(path, vectors, ids=IDS, **options):
    pq.write_table(pa.table({"response_id": ids, "embedding": vectors}), path, **options)
    return str(path)


def opened(path, **how):
    return FileEmbedder(path, **how).open("", "plain", Compute())


def embedded(session, ids):
    return session.embed([Exchange("p", i, [], "text") for i in ids], lambda rows, tokens: None)


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch):
    monkeypatch.setattr(file, "_ROWS_AT_ONCE", 7)  # several batches a file, several picks a shard


@pytest.mark.parametrize("shape", ["fixed", "list", "large"])
@pytest.mark.parametrize("kind", FLOATS)
def test_the_vectors_are_the_file_s_in_the_order_of_the_responses(tmp_path, kind, shape):
    session = opened(write(tmp_path / "e.parquet", lists(X, kind, shape), row_group_size=11))
    rows = np.random.default_rng(1).permutation(N)[:31]
    done = embedded(session, [IDS[r] for r in rows])
    wide = {"float16": np.float16, "float32": np.float32, "float64": np.float32}[kind]
    assert done.vectors.dtype == wide and session.dimension == D
    assert np.array_equal(done.vectors, X.astype(kind).astype(wide)[rows])
    assert set(done.n_tokens) == {-1} and not done.truncated.any()
    assert session.check(IDS[:31]) == N - 31


@pytest.mark.parametrize("storage", ["float16", "float32"])
def test_storage_is_what_was_asked_for(tmp_path, storage):
    session = opened(write(tmp_path / "e.parquet", lists(X, "float64")), storage=storage)
    assert np.array_equal(embedded(session, IDS).vectors, X.astype(storage))


def test_another_column_and_numbers_as_ids(tmp_path):
    table = pa.table({"response_id": list(range(N)), "text": IDS, "layer_7": lists(X)})
    pq.write_table(table, tmp_path / "e.parquet")
    session = opened(str(tmp_path / "e.parquet"), column="layer_7")
    assert np.array_equal(embedded(session, ["3", "1"]).vectors, X.astype(np.float32)[[3, 1]])


def test_the_copy_leaves_nothing_behind(tmp_path):
    scratch = tmp_path / "scratch"
    session = opened(write(tmp_path / "e.parquet", lists(X)), scratch=str(scratch))
    assert len(embedded(session, IDS).vectors) == N and list(scratch.iterdir()) == []


def test_memory_stays_far_below_the_set(tmp_path, monkeypatch):
    """One row group of 32 MB: what Arrow holds at each batch."""
    n, d = 8000, 2048
    x = np.random.default_rng(0).integers(0, 30000, (n, d), dtype=np.uint16).view(np.float16)
    ids = [str(i) for i in range(n)]
    path = write(tmp_path / "e.parquet", lists(x, "float16"), ids, use_dictionary=False, compression="none")
    held, stored, before = [], file._stored, pa.total_allocated_bytes()

    def watched(*args):
        held.append(pa.total_allocated_bytes() - before)
        return stored(*args)

    monkeypatch.setattr(file, "_ROWS_AT_ONCE", 256)
    monkeypatch.setattr(file, "_stored", watched)
    session = opened(path)
    assert len(held) == 32 and 0 < max(held) < 16e6
    assert np.array_equal(embedded(session, ["7999", "5"]).vectors, x[[7999, 5]])


def changed(value, row=20):
    x = X.copy()
    x[row, 3] = value
    return x


RAGGED = pa.array([[1.0, 2.0]] * 20 + [[1.0, 2.0, 3.0]] + [[1.0, 2.0]] * 29, type=pa.list_(pa.float32()))
EMPTY = pa.array([[1.0, 2.0]] * 20 + [None] + [[1.0, 2.0]] * 29, type=pa.list_(pa.float32(), 2))
HOLE = pa.array([[1.0, 2.0]] * 20 + [[None, 1.0]] + [[1.0, 2.0]] * 29, type=pa.list_(pa.float16()))
BAD = {
    "mixed widths": (RAGGED, IDS, {}, "row 21: 'embedding' has 3 values where the first row has 2"),
    "no vector": (EMPTY, IDS, {}, "row 21: 'embedding' has no vector"),
    "no vector at first": (EMPTY[20:], IDS[20:], {}, "row 1: 'embedding' has no vector"),
    "a hole": (HOLE, IDS, {}, "1 embeddings hold NaN or infinity, the first that of response r20"),
    "NaN": (lists(changed(np.nan)), IDS, {}, "1 embeddings hold NaN or infinity.* response r20"),
    "infinity": (lists(changed(np.inf, [20, 30])), IDS, {"storage": "float16"}, "2 embeddings .* r20"),
    "float16": (lists(changed(7e4)), IDS, {"storage": "float16"},
                "row 21: a value of 7e.04 does not fit float16; use embedder.storage=float32"),
    "float32": (lists(changed(-1e39), "float64"), IDS, {}, "row 21: a value of 1e.39 does not fit float32$"),
    "twice": (lists(X), [*IDS[:40], "r20", *IDS[41:]], {}, "row 41: response_id r20 repeats row 21"),
    "twice in a batch": (lists(X), ["r1", *IDS[1:]], {}, "row 2: response_id r1 repeats row 1"),
    "no id": (lists(X), [*IDS[:20], None, *IDS[21:]], {}, "row 21: no response_id"),
    "no column": (lists(X), IDS, {"column": "vector"}, "no column 'vector', only response_id, embedding; name"),
    "not lists": (pa.array(range(N)), IDS, {}, "'embedding' is int64, not a list of float16"),
    "whole numbers": (pa.array([[1, 2]] * N), IDS, {}, "'embedding' is list<.*int64>, not a list of float16"),
    "no rows": (lists(X)[:0], IDS[:0], {}, "has no rows"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_line_with_file_and_row(tmp_path, name):
    vectors, ids, how, message = BAD[name]
    path = write(tmp_path / "own {0}.parquet", vectors, ids)
    with pytest.raises(InputError, match=message) as found:
        opened(path, **how)
    assert str(found.value).startswith(path) and "\n" not in str(found.value)


def test_ids_are_needed(tmp_path):
    pq.write_table(pa.table({"embedding": lists(X)}), tmp_path / "e.parquet")
    with pytest.raises(InputError, match="no column 'response_id', only embedding$"):
        opened(str(tmp_path / "e.parquet"))


@pytest.mark.parametrize("name", ["response_id", "embedding"])
def test_a_column_that_is_there_twice_is_refused(tmp_path, name):
    columns = {"response_id": pa.array(IDS), "embedding": lists(X)}
    table = pa.table([*columns.values(), columns[name], pa.array(IDS)], [*columns, name, "text"])
    pq.write_table(table, tmp_path / "e.parquet")
    with pytest.raises(InputError, match=f"has 2 columns '{name}'; keep one of them$"):
        opened(str(tmp_path / "e.parquet"))


def test_responses_without_a_vector_are_counted(tmp_path):
    session = opened(write(tmp_path / "e.parquet", lists(X)))
    with pytest.raises(InputError, match="no embedding for 2 of 3 responses, such as a; .* same response_id"):
        session.check(["r1", "a", "b"])
    with pytest.raises(InputError, match="no embedding for 1 of 1 responses, such as a"):
        embedded(session, ["a"])


def test_a_damaged_file_is_one_line(tmp_path):
    path = write(tmp_path / "e.parquet", lists(X), write_page_checksum=True, use_dictionary=False,
                 compression="none")  # fmt: skip
    content = bytearray(Path(path).read_bytes())
    content[content.index(X.astype(np.float32)[20].tobytes())] ^= 1
    Path(path).write_bytes(content)
    with pytest.raises(InputError, match="not a readable Parquet file"):
        opened(path)
