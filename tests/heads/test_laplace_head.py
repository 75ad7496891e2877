"""The score, the uncertainty and the margins of a fitted Bayesian linear head."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from rmlab.errors import InputError
from rmlab.heads.fitted.base import Standardiser
from rmlab.heads.fitted.linear import LaplaceHead
from rmlab.heads.fitted.load import load_head
from rmlab.heads.laplace import Laplace
from rmlab.losses.pairs import BradleyTerry, Classification


@pytest.fixture
def fitted(linear_world) -> LaplaceHead:
    return Laplace(l2=0.05, k=0.7).fit(linear_world.data, BradleyTerry(), 0)[0]


def test_scores_the_lower_bound(fitted, x):
    mean = replace(fitted, k=0.0)
    np.testing.assert_allclose(fitted.raw(x), mean.raw(x) - 0.7 * fitted.uncertainty(x), atol=1e-12)
    assert fitted.uncertainty(x).min() > 0
    np.testing.assert_allclose(mean.raw(x), fitted.mean_head.raw(x), rtol=1e-11, atol=1e-12)


def test_features_are_what_the_weights_weigh(fitted, x):
    np.testing.assert_allclose(fitted.features(x) @ fitted.weight + fitted.intercept, fitted.mean_head.raw(x))


def test_uncertainty_is_that_of_sampled_weights(fitted, x):
    """The spread of scores, relative to the mean training response, over weights from the posterior."""
    rng = np.random.default_rng(0)
    covariance = fitted.factor.T @ fitted.factor
    drawn = rng.multivariate_normal(fitted.weight, covariance, size=20_000)
    z = fitted.standardiser.apply(x[:30], np.float64)
    np.testing.assert_allclose(
        ((z - fitted.centre) @ drawn.T).std(axis=1), fitted.uncertainty(x[:30]), rtol=0.03
    )


def test_uncertainty_is_blind_to_normalisation(fitted, x):
    assert np.array_equal(fitted.normalised(x[:200]).uncertainty(x), fitted.uncertainty(x))


@pytest.mark.parametrize("loss", [BradleyTerry(), Classification()])
def test_uncertainty_is_blind_to_a_shift_of_all_embeddings(loss, linear_world):
    fitter = Laplace(l2=0.05, standardise=False, tolerance=1e-9)
    head, _ = fitter.fit(linear_world.data, loss, 0)
    moved = replace(linear_world.data, x=linear_world.data.x + np.float32(2.0))
    shifted, _ = fitter.fit(moved, loss, 0)
    np.testing.assert_allclose(shifted.uncertainty(moved.x), head.uncertainty(linear_world.data.x), rtol=1e-4)


def test_uncertainty_grows_away_from_the_training_responses(fitted):
    mean, scale = fitted.standardiser.mean, fitted.standardiser.scale
    along = mean + scale * np.array([[0.0], [1.0], [10.0]])
    std = fitted.uncertainty(along)
    assert std[0] < 1e-6
    assert std[2] == pytest.approx(10 * std[1], rel=1e-4)


def test_margin_is_the_posterior_of_a_difference(fitted, x):
    a, b = x[:300], x[300:600]
    mean, std = fitted.margin(a, b)
    np.testing.assert_allclose(mean, fitted.mean_head.raw(a) - fitted.mean_head.raw(b), atol=1e-12)
    z = (a.astype(np.float64) - b) / fitted.standardiser.scale
    variance = np.einsum("nd,de,ne->n", z, fitted.factor.T @ fitted.factor, z)
    np.testing.assert_allclose(std, np.sqrt(variance), rtol=1e-9)
    for head in (fitted.normalised(x), replace(fitted, k=0.0)):
        assert np.array_equal(head.margin(a, b), (mean, std))


def test_same_uncertainty_after_save_and_load(fitted, x, tmp_path):
    fitted.save(tmp_path)
    loaded = load_head(tmp_path)
    assert loaded.k == 0.7
    assert loaded.uncertainty(x).tobytes() == fitted.uncertainty(x).tobytes()
    assert np.array_equal(loaded.margin(x[:9], x[9:18]), fitted.margin(x[:9], x[9:18]))


def test_memory_is_bounded():
    head = LaplaceHead(
        weight=np.ones(64),
        intercept=0.0,
        standardiser=Standardiser.identity(64),
        centre=np.zeros(64),
        factor=np.eye(64),
    )
    x = np.zeros((60_000, 64), dtype=np.float16)  # 31 MB in float64
    tracemalloc.start()
    head.uncertainty(x)
    head.margin(x, x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 25e6


def test_refuses_what_every_head_refuses(fitted):
    for method in (fitted.uncertainty, lambda x: fitted.margin(x, x)):
        with pytest.raises(InputError, match="embeddings of width 5"):
            method(np.zeros((3, 4)))
        with pytest.raises(InputError, match="NaN or infinity"):
            method(np.full((3, 5), np.inf))
