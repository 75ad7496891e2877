from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from rmlab.errors import ConfigError
from rmlab.losses.base import Diagnosing
from rmlab.losses.pairs import BradleyTerry
from rmlab.losses.robust import RobustBtl

LAMS = [0.1, 0.4, 0.5, 0.65, 0.75, 0.95]


@pytest.mark.parametrize("lam", [1.0, 1.5, 100.0])
def test_from_one_on_it_is_bradley_terry_bit_for_bit(table, normal, lam):
    scores = 5 * normal(200, 2)
    values, expected = RobustBtl(lam)(scores, table(200)), BradleyTerry()(scores, table(200))
    assert torch.equal(values, expected)
    gradients = [torch.autograd.grad(v.sum(), scores)[0] for v in (values, expected)]
    assert torch.equal(*gradients)
    assert not RobustBtl(lam).diagnose(scores, table(200))["outlier"].any()


@pytest.mark.parametrize("lam", LAMS)
def test_delta_and_value_are_those_of_a_numerical_minimiser(table, normal, lam):
    scores, loss = 3 * normal(25, 2).detach(), RobustBtl(lam)
    found, values = loss.diagnose(scores, table(25)), loss(scores, table(25)).numpy()
    for m, delta, value in zip(found["margin"], found["delta"], values):
        best = minimize_scalar(
            lambda d, m=m: np.logaddexp(0, -(m + d)) + lam * d,
            bounds=(0, 40),
            method="bounded",
            options={"xatol": 1e-10},
        )
        assert best.x == pytest.approx(delta, abs=1e-6)
        assert best.fun == pytest.approx(value, abs=1e-7)


@pytest.mark.parametrize("lam", LAMS)
def test_its_gradient_is_that_of_bradley_terry_capped_at_lam(table, lam):
    m = torch.linspace(-6, 6, 241).double()
    scores = torch.stack([m, torch.zeros(241).double()], dim=1).requires_grad_()
    gradient = torch.autograd.grad(RobustBtl(lam)(scores, table(241)).sum(), scores)[0]
    expected = -torch.minimum(torch.sigmoid(-m), torch.tensor(lam))
    torch.testing.assert_close(gradient, torch.stack([expected, -expected], dim=1))


def test_gradient_check_on_both_sides_of_the_threshold(table, normal):
    loss, scores = RobustBtl(0.65), normal(20, 2)
    outlier = loss.diagnose(scores, table(20))["outlier"]
    assert 0 < outlier.sum() < 20
    assert torch.autograd.gradcheck(lambda s: loss(s, table(20)), (scores,))


def corrupted(rng):
    """True weights [10], winners less losers [4000, 10], and which 400 were flipped: the largest gaps."""
    w, z = rng.normal(size=10), rng.normal(size=(4000, 10))
    gap = z @ w
    side = np.where(rng.random(4000) < 1 / (1 + np.exp(-gap)), 1.0, -1.0)
    flipped = np.argsort(-np.abs(gap))[:400]
    side[flipped] = -np.sign(gap[flipped])
    return w, z * side[:, None], flipped


@pytest.mark.parametrize(
    ("lam", "cosine", "ratio"),
    [(1.0, 0.9918, 0.22), (0.65, 0.9943, 0.295), (0.4, 0.997, 0.6), (0.2, 0.9974, 0.99)],
)
def test_it_recovers_the_weights_when_the_largest_gaps_are_flipped(table, minimum, lam, cosine, ratio):
    w, z, flipped = corrupted(np.random.default_rng(0))
    x = torch.from_numpy(np.stack([z, np.zeros_like(z)], axis=1))
    loss = RobustBtl(lam)
    fitted = minimum(lambda v: loss(x @ v, table(4000)).mean(), 10)
    norm = np.linalg.norm(fitted)
    assert fitted @ w / norm / np.linalg.norm(w) == pytest.approx(cosine, abs=5.1e-5)
    assert norm / np.linalg.norm(w) == pytest.approx(ratio, abs=0.0051)
    outlier = loss.diagnose(x @ torch.from_numpy(fitted), table(4000))["outlier"]
    assert outlier[flipped].mean() == (1.0 if lam < 1 else 0.0)


def test_diagnosis_by_hand(table):
    t = math.log(1 / 0.75 - 1)
    scores = torch.tensor([[1.0, 0.0], [0.0, 3.0], [0.0, 0.5]], requires_grad=True)
    found = RobustBtl().diagnose(scores, table(3))
    assert isinstance(RobustBtl(), Diagnosing)
    assert list(found) == ["delta", "outlier", "margin"]
    assert all(values.dtype == np.float64 for values in found.values())
    np.testing.assert_allclose(found["margin"], [1, -3, -0.5])
    np.testing.assert_allclose(found["delta"], [0, t + 3, 0], atol=1e-6)
    np.testing.assert_array_equal(found["outlier"], [0, 1, 0])


def test_under_a_half_every_pair_starts_as_an_outlier(table):
    for lam, share in ((0.49, 1.0), (0.51, 0.0)):
        assert RobustBtl(lam).diagnose(torch.zeros(5, 2), table(5))["outlier"].mean() == share


def test_extreme_scores_stay_exact_and_finite(at_extremes):
    value, gradient = at_extremes(RobustBtl(0.75), [[1e4, -1e4], [-1e4, 1e4], [1e4, 1e4]])
    t = math.log(1 / 3)
    largest = math.log(4) + 0.75 * (2e4 + t)
    torch.testing.assert_close(value, torch.tensor([0, largest, math.log(2)]).double())
    torch.testing.assert_close(gradient, torch.tensor([[0, 0], [-0.75, 0.75], [-0.5, 0.5]]).double())


def test_bad_input_and_parameters_are_refused(table):
    with pytest.raises(ConfigError, match="robust_btl compares 2 responses, not 3"):
        RobustBtl()(torch.zeros(4, 3), table(4, 3))
    with pytest.raises(ConfigError, match="robust_btl compares 2 responses, not 3"):
        RobustBtl().diagnose(torch.zeros(4, 3), table(4, 3))
    for lam in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="lam is"):
            RobustBtl(lam=lam)
