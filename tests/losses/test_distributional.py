from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from rmlab.errors import ConfigError, InputError
from rmlab.losses.base import Diagnosing
from rmlab.losses.pairs import BradleyTerry
from rmlab.losses.robust import Distributional

PENALTIES = {
    "logistic": lambda x, beta: np.logaddexp(0, -beta * x),
    "squared_hinge": lambda x, beta: np.maximum(beta - x, 0) ** 2,
    "least_squares": lambda x, beta: (beta - x) ** 2,
}
ORDERS = ["first", "second"]


@pytest.mark.parametrize("beta", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("penalty", PENALTIES)
def test_first_order_is_the_best_assignment(table, normal, penalty, beta):
    scores = 2 * normal(40, 2).detach()
    cost = PENALTIES[penalty](scores[:, 0].numpy()[:, None] - scores[:, 1].numpy(), beta)
    rows, columns = linear_sum_assignment(cost)
    loss = Distributional(penalty=penalty, beta=beta)(scores, table(40))
    assert loss.shape == ()
    assert loss.item() == pytest.approx(cost[rows, columns].mean(), rel=1e-12)
    assert loss.item() < np.diag(cost).mean()  # no more than the pairs as they were compared


@pytest.mark.parametrize("beta", [0.3, 1.0])
@pytest.mark.parametrize("penalty", PENALTIES)
def test_second_order_compares_integrated_quantiles(table, normal, penalty, beta):
    scores, n = 2 * normal(30, 2).detach(), 30
    chosen, rejected = np.sort(scores.numpy(), axis=0).T
    gaps = [chosen[: i + 1].sum() / n - rejected[: i + 1].sum() / n for i in range(n)]
    expected = np.mean([PENALTIES[penalty](gap, beta) for gap in gaps])
    loss = Distributional(order="second", penalty=penalty, beta=beta)(scores, table(n))
    assert loss.shape == () and loss.item() == pytest.approx(expected, rel=1e-12)


def test_second_order_asks_less_than_first(table):
    steady, risky = torch.tensor([[0.0, 0.0], [-1.0, 1.0]]).double()  # equal means, the steady preferred
    scores = torch.stack([steady, risky], dim=1)
    hinge = {order: Distributional(order, "squared_hinge", 1e-9)(scores, table(2)).item() for order in ORDERS}
    assert hinge["second"] == pytest.approx(0, abs=1e-9) and hinge["first"] == pytest.approx(0.5)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("penalty", PENALTIES)
def test_permuting_either_side_changes_nothing(table, normal, order, penalty):
    scores, loss = normal(30, 2), Distributional(order, penalty)
    mixed = torch.stack([scores[torch.randperm(30), 0], scores[torch.randperm(30), 1]], dim=1)
    torch.testing.assert_close(loss(mixed, table(30)), loss(scores, table(30)), rtol=1e-12, atol=0)


@pytest.mark.parametrize("order", ORDERS)
def test_one_pair_alone_is_the_pairwise_loss(table, normal, order):
    for seed in range(5):
        scores = 3 * normal(1, 2, seed=seed)
        torch.testing.assert_close(
            Distributional(order)(scores, table(1)), BradleyTerry()(scores, table(1))[0]
        )
        m = (scores[0, 0] - scores[0, 1]).item()
        for penalty, h in PENALTIES.items():
            value = Distributional(order, penalty, 0.7)(scores, table(1)).item()
            assert value == pytest.approx(h(m, 0.7))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("penalty", PENALTIES)
def test_gradient_check(table, normal, order, penalty):
    loss = Distributional(order, penalty)
    assert torch.autograd.gradcheck(lambda s: loss(s, table(9)), (normal(9, 2),))


@pytest.mark.parametrize("order", ORDERS)
def test_extreme_scores_stay_exact_and_finite(at_extremes, order):
    rows = [[-1e4, 1e4]]
    for penalty, expected, slope in (("logistic", 2e4, -1.0), ("least_squares", 20001.0**2, -40002.0)):
        value, gradient = at_extremes(Distributional(order, penalty), rows)
        torch.testing.assert_close(value, torch.tensor(expected).double())
        torch.testing.assert_close(gradient, torch.tensor([[slope, -slope]]).double())
    value, gradient = at_extremes(Distributional(order, "squared_hinge"), [[1e4, -1e4], [1e4, -1e4]])
    assert value == 0 and not gradient.any()


def test_equal_weights_of_any_size_are_taken_and_others_refused(table, normal):
    scores = normal(4, 2)
    loss = Distributional()
    assert torch.equal(loss(scores, table(4, weight=np.full(4, 0.3))), loss(scores, table(4)))
    with pytest.raises(InputError, match="distributional .* takes no weights"):
        loss(scores, table(4, weight=np.array([1.0, 1, 1, 0.5])))
    assert not isinstance(loss, Diagnosing)


def test_bad_input_and_parameters_are_refused(table):
    with pytest.raises(ConfigError, match="distributional compares 2 responses, not 3"):
        Distributional()(torch.zeros(4, 3), table(4, 3))
    with pytest.raises(ValueError, match="order is 'third'"):
        Distributional(order="third")
    with pytest.raises(ValueError, match="penalty is 'hinge'"):
        Distributional(penalty="hinge")
    for beta in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="beta is"):
            Distributional(beta=beta)
