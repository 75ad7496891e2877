"""8-bit vectors and their scales out of files: multiplied, in bounded memory, or one line."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rmlab.data.scales import quantise, scales
from rmlab.embedders import recorded as file
from rmlab.embedders.recorded import FileEmbedder
from rmlab.errors import InputError
from rmlab.models.compute import Compute
from rmlab.models.text.rendering import Exchange

N, D = 50, 6
IDS = [f"r{i}" for i in range(N)]
X = np.random.default_rng(0).normal(size=(N, D)).astype(np.float32)
SCALE = scales(np.abs(X).max(axis=0))
Q = quantise(X, SCALE)


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch):
    monkeypatch.setattr(file, "_ROWS_AT_ONCE", 7)


def written(folder, q=Q, scale=SCALE, kind=None):
    kind = kind or pa.list_(pa.int8(), D)
    pq.write_table(pa.table({"response_id": IDS, "embedding": pa.array(list(q), kind)}), folder / "e.parquet")
    pq.write_table(pa.table({"dimension": np.arange(len(scale)), "scale": scale}), folder / "s.parquet")
    return {"path": str(folder / "e.parquet"), "scales": str(folder / "s.parquet")}


def embedded(rows, **how):
    session = FileEmbedder(**how).open("", "plain", Compute())
    return session.embed([Exchange("p", IDS[r], [], "text") for r in rows], lambda n, tokens: None).vectors


@pytest.mark.parametrize("kind", [pa.list_(pa.int8(), D), pa.list_(pa.int8()), pa.large_list(pa.int8())])
@pytest.mark.parametrize("storage", [None, "float32", "float16"])
def test_vectors_are_integers_times_scales(tmp_path, kind, storage):
    rows = np.random.default_rng(1).permutation(N)[:31]
    found = embedded(rows, **written(tmp_path, kind=kind), storage=storage)
    expected = Q.astype(np.float32) * SCALE
    assert found.dtype == (storage or "float32")
    assert np.array_equal(found, expected[rows].astype(found.dtype))
    assert (np.abs(found - X[rows]) <= 0.51 * SCALE + 1e-3 * (storage == "float16")).all()


def test_integers_without_scales_and_scales_without_integers(tmp_path):
    how = written(tmp_path)
    with pytest.raises(InputError, match=r"needs embedder.scales=\.\.\."):
        embedded([0], path=how["path"])
    how = written(tmp_path, q=X, kind=pa.list_(pa.float32(), D))
    with pytest.raises(InputError, match="has scales but is fixed_size_list<"):
        embedded([0], **how)


def test_another_number_of_scales(tmp_path):
    with pytest.raises(InputError, match="vectors of 6 values, but there are 5 scales"):
        embedded([0], **written(tmp_path, scale=SCALE[:5]))


def test_a_null_in_a_vector(tmp_path):
    q = [[None if (r, k) == (9, 2) else int(v) for k, v in enumerate(row)] for r, row in enumerate(Q)]
    with pytest.raises(InputError, match="a vector of int8 holds null"):
        embedded([0], **written(tmp_path, q=q, kind=pa.list_(pa.int8())))
