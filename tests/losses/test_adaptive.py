from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from rmlab.errors import ConfigError
from rmlab.losses.base import Diagnosing
from rmlab.losses.pairs import BradleyTerry
from rmlab.losses.robust import Adaptive


def of_margins(m):
    """[n] margins -> [n, 2] scores."""
    m = torch.as_tensor(m, dtype=torch.float64)
    return torch.stack([m, torch.zeros_like(m)], dim=1)


def scale(loss, m, table):
    return loss.diagnose(of_margins(m), table(len(m)))["scale"]


@pytest.mark.parametrize(("rho", "x"), [(0.05, 0.649), (0.1, 0.943), (0.3, 1.870), (0.5, 2.983)])
def test_the_scale_is_the_margin_over_a_constant(table, rho, x):
    m = np.array([0.8, -0.8, 2.0])
    np.testing.assert_allclose(scale(Adaptive(rho=rho), m, table), np.abs(m) / x, rtol=6e-4)


@pytest.mark.parametrize("rho", [1e-3, 0.05, 0.1, 0.3, 0.5, 0.75, 1.0])
def test_value_and_scale_equal_brute_force(table, rho):
    m = np.linspace(-8, 8, 33)
    tau = np.geomspace(0.1, 4, 4001)
    values = tau * np.logaddexp(0, -m[:, None] / tau) + (rho - math.log(2)) * tau
    loss, best = Adaptive(rho=rho), values.argmin(axis=1)
    found = loss(of_margins(m), table(33)).numpy()
    assert (found <= values.min(axis=1) + 1e-12).all()
    np.testing.assert_allclose(found, values.min(axis=1), atol=2e-6)
    inside = m != 0
    np.testing.assert_allclose(scale(loss, m, table)[inside], tau[best][inside], rtol=2e-3)


@pytest.mark.parametrize("rho", [1e-6, 0.05, 0.3, 0.69])
def test_inside_the_range_the_answer_is_rho_from_a_coin(table, rho):
    m = np.linspace(1, 2, 11)
    tau = scale(Adaptive(tau_min=1e-9, tau_max=1e9, rho=rho), m, table)
    t = np.tanh(m / tau / 2)  # 2 sigma(x) - 1
    divergence = ((1 + t) * np.log1p(t) + (1 - t) * np.log1p(-t)) / 2
    np.testing.assert_allclose(divergence, rho, rtol=1e-4)


def test_the_scale_stays_in_its_range(table):
    m = [0.0, 1e-3, 1e4, -1e4]
    np.testing.assert_array_equal(scale(Adaptive(), m, table), [0.1, 0.1, 4, 4])
    np.testing.assert_array_equal(scale(Adaptive(rho=1e-20), m, table), [0.1, 4, 4, 4])
    for rho in (math.log(2), 5.0):
        np.testing.assert_array_equal(scale(Adaptive(rho=rho), m, table), [0.1] * 4)


def test_one_scale_for_all_is_bradley_terry_up_to_a_constant(table, normal):
    scores = 5 * normal(200, 2)
    values = Adaptive(tau_min=1.0, tau_max=1.0)(scores, table(200))
    torch.testing.assert_close(values - (0.1 - math.log(2)), BradleyTerry()(scores, table(200)))


@pytest.mark.parametrize("rho", [0.05, 0.1, 0.5, 0.8])
def test_newton_steps_reach_the_closed_form_but_not_in_three(table, rho):
    m = np.concatenate([np.linspace(-8, 8, 161), [1e4, -1e4, 1e-9]])
    exact = scale(Adaptive(rho=rho), m, table)
    np.testing.assert_allclose(scale(Adaptive(rho=rho, newton_steps=60), m, table), exact, rtol=1e-9)
    three = np.abs(scale(Adaptive(rho=rho, newton_steps=3), m, table) - exact)
    assert (three.max() > 1e-2) == (rho < math.log(2))


def test_newton_values_fall_to_the_closed_form(table):
    scores = of_margins(np.linspace(-3, 3, 61))
    exact, few, many = (Adaptive(newton_steps=k)(scores, table(61)).numpy() for k in (0, 3, 60))
    assert (few >= exact - 1e-12).all() and (few > exact + 1e-4).any()
    np.testing.assert_allclose(many, exact, atol=1e-12)


@pytest.mark.parametrize("rho", [0.05, 0.1, 0.5, 0.8])
def test_it_is_convex_and_never_rises_with_the_margin(table, rho):
    values = Adaptive(rho=rho)(of_margins(np.linspace(-8, 8, 1601)), table(1601)).numpy()
    assert (np.diff(values, n=2) >= -1e-12).all()
    assert (np.diff(values) <= 0).all()


def test_gradient_check_below_within_and_above_the_range(table, normal):
    loss, scores = Adaptive(tau_min=0.5, tau_max=1.0), 1.5 * normal(20, 2).detach()
    tau = loss.diagnose(scores, table(20))["scale"]
    assert {0.5, 1.0} < set(tau.tolist())
    assert torch.autograd.gradcheck(lambda s: loss(s, table(20)), (scores.requires_grad_(),))


def test_clear_pairs_get_a_larger_scale(table, minimum):
    rng = np.random.default_rng(0)
    w, z = rng.normal(size=5), rng.normal(size=(1000, 5))
    gap = z @ w
    z *= np.where(rng.random(1000) < 1 / (1 + np.exp(-gap)), 1, -1)[:, None]
    x = torch.from_numpy(np.stack([z, np.zeros_like(z)], axis=1))
    loss = Adaptive()
    fitted = minimum(lambda v: loss(x @ v, table(1000)).mean() + 1e-3 * v.square().sum(), 5)
    found = loss.diagnose(x @ torch.from_numpy(fitted), table(1000))
    assert isinstance(loss, Diagnosing) and list(found) == ["scale"]
    assert spearmanr(found["scale"], np.abs(gap)).statistic > 0.5


def test_extreme_scores_stay_exact_and_finite(at_extremes):
    rows = [[1e4, -1e4], [-1e4, 1e4], [1e4, 1e4]]
    for steps in (0, 5):
        value, gradient = at_extremes(Adaptive(newton_steps=steps), rows)
        rest = 0.1 - math.log(2)
        torch.testing.assert_close(value, torch.tensor([4 * rest, 2e4 + 4 * rest, 0.01]).double())
        torch.testing.assert_close(gradient, torch.tensor([[0, 0], [-1, 1], [-0.5, 0.5]]).double())


def test_bad_input_and_parameters_are_refused(table):
    for call in (Adaptive(), Adaptive().diagnose):
        with pytest.raises(ConfigError, match="adaptive compares 2 responses, not 3"):
            call(torch.zeros(4, 3), table(4, 3))
    for tau in ({"tau_min": 0.0}, {"tau_min": 5.0}, {"tau_max": math.inf}, {"tau_max": math.nan}):
        with pytest.raises(ValueError, match="tau is in"):
            Adaptive(**tau)
    for rho in (0.0, -0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match="rho is"):
            Adaptive(rho=rho)
    with pytest.raises(ValueError, match="newton_steps is -1"):
        Adaptive(newton_steps=-1)
