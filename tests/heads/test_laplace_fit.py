"""The posterior of a linear head against brute force, closed forms, a Gaussian process and coverage."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from scipy.special import expit
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct

from rmlab.comparisons import Comparisons
from rmlab.config.components import build
from rmlab.errors import ConfigError, InputError
from rmlab.heads.base import FitData
from rmlab.heads.laplace import Laplace, score_hessians, square_roots
from rmlab.heads.linear import Linear
from rmlab.losses.lists import Choice, PlackettLuce, UnpairedLoss
from rmlab.losses.pairs import BradleyTerry, Classification, Hinge, LabelSmoothing

CASES = [
    (BradleyTerry(), 2, "pair"),
    (Classification(), 2, "pair"),
    (LabelSmoothing(epsilon=0.2), 2, "pair"),
    (Choice(), 3, "choice"),
    (PlackettLuce(), 4, "list"),
    (UnpairedLoss(desirable_weight=2.0), 1, "unpaired"),
]
every_loss = pytest.mark.parametrize(("loss", "size", "kind"), CASES, ids=lambda v: type(v).__name__)


def small(size: int, kind: str) -> FitData:
    """60 comparisons of 25 responses, which come up many times, with weights and answers by chance."""
    rng = np.random.default_rng(3)
    x = (rng.normal(size=(25, 3)) * [0.5, 1.0, 2.0] + [1.0, -2.0, 0.5]).astype(np.float32)
    items = np.array([rng.choice(25, size, replace=False) for _ in range(60)])
    share = rng.integers(0, 2, 60).astype(float) if kind == "unpaired" else np.ones(60)
    weight = rng.uniform(0.2, 3.0, 60) * (np.arange(60) % 7 > 0)  # some count for nothing
    train = Comparisons(items, np.zeros(60, dtype=np.int64), kind=kind, weight=weight, share=share)
    return FitData(x, train, train.take(np.arange(0)))


def covariance(head) -> np.ndarray:
    return head.factor.T @ head.factor


@every_loss
@pytest.mark.parametrize("standardise", [True, False])
def test_posterior_equals_the_inverse_of_the_whole_hessian(loss, size, kind, standardise):
    """H by differentiating the sum over comparisons by (w, b) at once; inverted, its block of w."""
    data, l2 = small(size, kind), 0.05
    head, log = Laplace(l2=l2, tolerance=1e-10, standardise=standardise).fit(data, loss, 0)
    z = torch.from_numpy(head.standardiser.apply(data.x, np.float64))
    weight = torch.from_numpy(data.train.weight)

    def negative_log_posterior(parameters: torch.Tensor) -> torch.Tensor:
        scores = (z @ parameters[:-1] + parameters[-1])[torch.from_numpy(data.train.items)]
        prior = 0.5 * l2 * weight.sum() * (parameters[:-1] ** 2).sum()
        return (weight * loss(scores, data.train)).sum() + prior

    at = torch.from_numpy(np.append(head.weight, head.intercept))
    hessian = torch.autograd.functional.hessian(negative_log_posterior, at).numpy()
    if np.abs(hessian[-1, -1]) < 1e-9:  # the loss does not see the intercept
        hessian = hessian[:-1, :-1]
    np.testing.assert_allclose(covariance(head), np.linalg.inv(hessian)[:3, :3], rtol=1e-7, atol=1e-12)
    assert log.chosen["prior_precision"] == pytest.approx(l2 * data.train.weight.sum())


@every_loss
def test_mean_is_the_linear_head(loss, size, kind):
    data = small(size, kind)
    head, log = Laplace(l2=0.05).fit(data, loss, 0)
    linear, linear_log = Linear(l2=0.05).fit(data, loss, 0)
    np.testing.assert_allclose(head.raw(data.x), linear.raw(data.x), rtol=1e-11, atol=1e-12)
    assert log.rows == linear_log.rows


def test_score_hessians_of_bradley_terry_by_hand():
    data = small(2, "pair")
    scores = np.random.default_rng(0).normal(size=(60, 2)) * 3
    p = expit(scores[:, 0] - scores[:, 1])
    expected = (p * (1 - p))[:, None, None] * np.array([[1.0, -1.0], [-1.0, 1.0]])
    np.testing.assert_allclose(score_hessians(scores, data.train, BradleyTerry()), expected, atol=1e-15)


def test_negative_curvature_is_set_to_zero():
    rng = np.random.default_rng(1)
    a = rng.normal(size=(20, 3, 3))
    a = a + a.transpose(0, 2, 1)
    roots = square_roots(a)
    values, vectors = np.linalg.eigh(a)
    nearest = np.einsum("nij,nj,nkj->nik", vectors, np.maximum(values, 0), vectors)
    np.testing.assert_allclose(roots.transpose(0, 2, 1) @ roots, nearest, atol=1e-12)
    assert (values < -0.1).any()


def test_one_feature_in_closed_form(compare):
    rng = np.random.default_rng(4)
    x = rng.normal(size=(80, 1)).astype(np.float32)
    items = np.arange(80).reshape(-1, 2)
    data = FitData(x, compare(items), compare(items[:0]))
    head, _ = Laplace(l2=0.3, standardise=False).fit(data, BradleyTerry(), 0)
    z = (x[items[:, 0]] - x[items[:, 1]])[:, 0].astype(float)
    p = expit(head.weight[0] * z)
    std = np.abs(x[:, 0] - x[:, 0].mean()) / np.sqrt(0.3 * 40 + np.sum(p * (1 - p) * z**2))
    np.testing.assert_allclose(head.uncertainty(x), std, rtol=1e-6)


def test_equals_a_gaussian_process_where_that_is_exact(compare):
    """With a squared loss of the margin the posterior is Gaussian: Bayesian regression of the margins."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(60, 4)).astype(np.float32)
    items = np.arange(60).reshape(-1, 2)
    margin, noise, l2 = rng.normal(size=30), 0.4, 0.1
    data = FitData(x, replace(compare(items), margin=margin), compare(items[:0]))

    def squared(scores: torch.Tensor, comparisons: Comparisons) -> torch.Tensor:
        return (scores[:, 0] - scores[:, 1] - torch.from_numpy(comparisons.margin)) ** 2 / (2 * noise)

    head, _ = Laplace(l2=l2, tolerance=1e-10, standardise=False).fit(data, squared, 0)
    kernel = ConstantKernel(1 / (l2 * 30)) * DotProduct(sigma_0=1e-9)
    process = GaussianProcessRegressor(kernel, alpha=noise, optimizer=None)
    process.fit((x[items[:, 0]] - x[items[:, 1]]).astype(float), margin)
    mean, std = process.predict(x - x.mean(axis=0, dtype=np.float64), return_std=True)
    np.testing.assert_allclose(head.uncertainty(x), std, rtol=1e-5)
    np.testing.assert_allclose(head.raw(x) - head.raw(x).mean(), mean, atol=1e-6)


def test_contracts_as_one_over_n(world):
    def mean_variance(n: int) -> float:
        data = world(lambda z: z[:, 0], train=n, noise=0.2).data
        head, _ = Laplace(l2=1e-6).fit(data, BradleyTerry(), 0)
        return float(np.mean(head.uncertainty(data.x) ** 2))

    assert mean_variance(8000) / mean_variance(2000) == pytest.approx(1 / 4, rel=0.1)


def test_weight_two_is_the_comparison_twice(linear_world, compare):
    items, x = linear_world.data.train.items[:50], linear_world.data.x
    twice, none = np.vstack([items, items]), compare(items[:0])
    fitter = Laplace(l2=0.1, tolerance=1e-9)
    weighted, _ = fitter.fit(FitData(x, compare(items, weight=np.full(50, 2.0)), none), BradleyTerry(), 0)
    repeated, _ = fitter.fit(FitData(x, compare(twice), none), BradleyTerry(), 0)
    once, _ = fitter.fit(FitData(x, compare(items), none), BradleyTerry(), 0)
    np.testing.assert_allclose(weighted.uncertainty(x), repeated.uncertainty(x), rtol=1e-5)
    # Twice the comparisons and, with them, twice the precision of the prior: exactly half the variance.
    np.testing.assert_allclose(weighted.uncertainty(x), once.uncertainty(x) / 2**0.5, rtol=1e-5)


def test_intervals_cover_what_they_claim(compare):
    """True weights drawn from the prior, answers by Bradley-Terry: 90% intervals hold the truth 90%."""
    rng, n, d = np.random.default_rng(6), 150, 4
    held, intervals = 0, 0
    for _ in range(60):
        w = rng.normal(size=d)
        x = rng.normal(size=(2 * n + 100, d)).astype(np.float32)
        items = np.arange(2 * n).reshape(-1, 2)
        lost = rng.random(n) > expit(x[items[:, 0]] @ w - x[items[:, 1]] @ w)
        items = np.where(lost[:, None], items[:, ::-1], items)
        data = FitData(x, compare(items), compare(items[:0]))
        head, _ = Laplace(l2=1 / n, standardise=False).fit(data, BradleyTerry(), 0)
        truth = (x[2 * n :] - x[: 2 * n].mean(axis=0)) @ w
        error = head.raw(x[2 * n :]) - head.raw(x[: 2 * n]).mean() - truth
        held += np.sum(np.abs(error) < 1.645 * head.uncertainty(x[2 * n :]))
        intervals += 100
    assert held / intervals == pytest.approx(0.9, abs=0.04)


def test_l2_is_chosen_as_by_the_linear_head(linear_world):
    head, log = Laplace().fit(linear_world.data, BradleyTerry(), 0)
    _, linear_log = Linear().fit(linear_world.data, BradleyTerry(), 0)
    assert log.chosen["l2"] == linear_log.chosen["l2"]
    assert linear_world.accuracy(head) > 0.85


@pytest.mark.parametrize(
    "wrong", [{"l2": 0.0}, {"l2": [0.1, 0.0]}, {"k": -1.0}, {"k": float("inf")}, {"l2": []}]
)
def test_refuses_wrong_parameters(wrong):
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))} must be"):
        Laplace(**wrong)


def test_refuses_losses_without_a_posterior(linear_world):
    with pytest.raises(ConfigError, match="a loss with curvature"):
        Laplace(l2=0.1, max_iterations=3).fit(linear_world.data, Hinge(), 0)
    with pytest.raises(ConfigError, match="a loss of single comparisons"):
        Laplace(l2=0.1).fit(
            linear_world.data, lambda scores, c: (scores[:, 0] - scores[:, 1] - 1).square().mean(), 0
        )


def test_refuses_a_prior_too_weak_for_what_is_known(compare):
    """Two features that are one: nothing but the prior tells their weights apart."""
    x = np.repeat(np.random.default_rng(0).normal(size=(40, 1)) * 1e4, 2, axis=1).astype(np.float32)
    items = np.arange(40).reshape(-1, 2)
    data = FitData(x, compare(items), compare(items[:0]))
    with pytest.raises(InputError, match="head.l2 is too small; raise it"):
        Laplace(l2=1e-30, standardise=False, max_iterations=1).fit(
            data, lambda s, c: (s[:, 0] - s[:, 1]) ** 2, 0
        )


def test_conf_is_the_default_of_the_code():
    path = Path(__file__).parents[2] / "conf" / "head" / "laplace.yaml"
    component = OmegaConf.to_container(OmegaConf.load(path))
    assert build(component) == Laplace()
    assert set(component) == {"_target_"} | {field.name for field in dataclasses.fields(Laplace)}
    assert all("  # " in knob for knob in path.read_text().splitlines()[1:])
