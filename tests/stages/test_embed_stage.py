"""Vectors as they are stored: only numbers, and float16 only where they fit; the response at fault is named."""

from __future__ import annotations

import numpy as np
import pytest

from rmlab.errors import InputError
from rmlab.stages.embed import _stored

IDS = ["r0", "r1", "r2"]


def x(value=1.0, row=1):
    vectors = np.ones((3, 4), dtype=np.float32)
    vectors[row, 2] = value
    return vectors


@pytest.mark.parametrize("storage", ["float32", "float16"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_one_line_with_the_response(value, storage):
    with pytest.raises(
        InputError, match="NaN or infinity for 1 of 3 responses, the first r1; use dtype=float32"
    ) as e:
        _stored(x(value), storage, IDS)
    assert "\n" not in str(e.value)


def test_all_that_are_no_numbers_are_counted():
    with pytest.raises(InputError, match="for 2 of 3 responses, the first r0"):
        _stored(x(np.nan, [0, 2]), "float32", IDS)


@pytest.mark.parametrize("value", [65520.0, -1e6])
def test_what_float16_cannot_hold_is_refused_with_the_response(value):
    with pytest.raises(
        InputError, match=r"\(response r1\) does not fit float16; use embedder.storage=float32"
    ):
        _stored(x(value), "float16", IDS)
    assert np.array_equal(_stored(x(value), "float32", IDS), x(value))


@pytest.mark.parametrize("value", [65504.0, -65504.0, 1e-7])
def test_what_fits_is_rounded_to_it(value):
    found = _stored(x(value), "float16", IDS)
    assert found.dtype == np.float16 and np.array_equal(found, x(value).astype(np.float16))


def test_no_rows_are_no_rows():
    assert _stored(np.empty((0, 4), dtype=np.float32), "float16", []).shape == (0, 4)
