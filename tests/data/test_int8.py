"""8-bit vectors: half a step at most is lost, whatever the numbers."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from rmlab.data.scales import LARGEST, dequantise, quantise, read_scales, scales
from rmlab.errors import InputError

VECTORS = arrays(
    np.float32,
    array_shapes(min_dims=2, max_dims=2, max_side=12),
    elements=st.floats(-(2.0**100), 2.0**100, width=32),
)


@settings(deadline=None, max_examples=200)
@given(VECTORS)
def test_a_round_trip_loses_half_a_step_at_most(x):
    scale = scales(np.abs(x).max(axis=0))
    q = quantise(x, scale)
    assert scale.dtype == np.float32 and (scale > 0).all() and np.isfinite(scale).all()
    assert q.dtype == np.int8 and q.min() >= -LARGEST
    back = dequantise(q, scale)
    assert back.dtype == np.float32
    assert (np.abs(back.astype(float) - x) <= 0.5 * scale.astype(float) * (1 + 1e-4)).all()
    assert np.array_equal(quantise(back, scale), q)  # what was quantised once stays
    assert np.array_equal(quantise(-x, scale), -q)  # symmetric


def test_the_nearest_step_is_taken_and_the_largest_value_is_kept():
    x = np.array([[127.0, -254.0, 0.0], [1.4, 3.1, 0.0], [-1.6, 2.9, 0.0]])
    scale = scales(np.abs(x).max(axis=0))
    assert scale.tolist() == [1, 2, 1]
    assert quantise(x, scale).tolist() == [[127, -127, 0], [1, 2, 0], [-2, 1, 0]]


def test_values_beyond_the_range_are_cut_to_it():
    assert quantise(np.array([[1e9, -1e9]]), np.ones(2, dtype=np.float32)).tolist() == [[127, -127]]


ROWS = {
    "zero": ([0, 1], [1.0, 0.0], "row 2: scale is 0.0"),
    "negative": ([0, 1], [1.0, -1.0], "row 2: scale is -1.0"),
    "infinite": ([0, 1], [np.inf, 1.0], "row 1: scale is inf"),
    "not a number": ([0, 1], [1.0, np.nan], "row 2: scale is nan"),
    "null": ([0, 1], [1.0, None], "row 2: 'scale' is None"),
    "twice": ([0, 0], [1.0, 1.0], "row 2: dimension 0 repeats"),
    "gap": ([0, 2], [1.0, 1.0], "dimensions are not 0 to 1"),
    "part": ([0.0, 0.5], [1.0, 1.0], "row 2: dimension 0.5"),
    "text": (["a", "b"], [1.0, 1.0], "row 1: 'dimension' is 'a'"),
}


@pytest.mark.parametrize("name", ROWS)
def test_scales_that_cannot_be(tmp_path, name):
    dimension, scale, message = ROWS[name]
    pq.write_table(pa.table({"dimension": dimension, "scale": scale}), tmp_path / "s.parquet")
    with pytest.raises(InputError) as error:
        read_scales(tmp_path / "s.parquet")
    assert message in str(error.value) and "\n" not in str(error.value)


def test_scales_in_any_order(tmp_path):
    pq.write_table(pa.table({"dimension": [2, 0, 1], "scale": [3.0, 1.0, 2.0]}), tmp_path / "s.parquet")
    assert read_scales(tmp_path / "s.parquet").tolist() == [1, 2, 3]
