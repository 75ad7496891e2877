"""Fitted heads: normalised rewards, bounded memory, clear refusals."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from rmlab.errors import InputError
from rmlab.heads.fitted.base import Standardiser
from rmlab.heads.fitted.linear import LinearHead
from rmlab.heads.linear import Linear
from rmlab.heads.mlp import Mlp
from rmlab.losses.pairs import Classification


def test_normalised_on_the_reference(head, x):
    reference = x[:200]
    normalised = head.normalised(reference)
    scores = normalised.score(reference)
    assert scores.dtype == np.float64
    assert abs(scores.mean()) < 1e-9
    assert scores.std() == pytest.approx(1.0, abs=1e-9)
    assert abs(head.score(reference).std() - 1) > 1e-3  # there was something to do
    assert np.array_equal(np.argsort(normalised.score(x)), np.argsort(head.score(x)))
    again = normalised.normalised(reference)
    assert (again.gain, again.bias) == (normalised.gain, normalised.bias)


def test_constant_scores_keep_gain_one():
    head = LinearHead(weight=np.zeros(2), intercept=0.3, standardiser=Standardiser.identity(2))
    normalised = head.normalised(np.ones((7, 2), dtype=np.float32))
    assert normalised.gain == 1.0
    assert normalised.score(np.ones((1, 2)))[0] == pytest.approx(0.0, abs=1e-15)


def test_many_rows_score_as_few(head, x):
    many = np.tile(x, (6, 1))
    assert len(many) > 2 * 8192
    np.testing.assert_allclose(head.score(many), np.tile(head.score(x), 6), atol=1e-5)


def test_half_precision_embeddings_are_taken(head, x):
    half = x.astype(np.float16)
    np.testing.assert_allclose(head.score(half), head.score(half.astype(np.float32)), atol=1e-6)


@pytest.mark.parametrize("fitter", [Linear(l2=0.01), Mlp(hidden=[16], epochs=1)], ids=["linear", "mlp"])
def test_memory_is_bounded(fitter, world):
    wide = world(lambda z: z[:, 0], d=64, train=100, validation=50)
    head, _ = fitter.fit(wide.data, Classification(), 0)
    x = np.zeros((100_000, 64), dtype=np.float16)  # 51 MB in float64, 26 MB in float32
    tracemalloc.start()
    head.score(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16e6


@pytest.mark.parametrize("shape", [(3, 4), (3, 6), (5,)])
def test_refuses_embeddings_of_another_width(head, shape):
    with pytest.raises(InputError, match="embeddings of width 5"):
        head.score(np.zeros(shape, dtype=np.float32))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_refuses_embeddings_that_are_not_finite(head, x, bad):
    x = np.tile(x, (4, 1))
    x[-1, 0] = bad  # in the last block
    with pytest.raises(InputError, match="NaN or infinity"):
        head.score(x)


def test_refuses_an_empty_reference(head, x):
    with pytest.raises(InputError, match="no reference responses"):
        head.normalised(x[:0])
