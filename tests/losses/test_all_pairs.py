from __future__ import annotations

import math
from itertools import combinations, permutations

import numpy as np
import pytest
import torch

from rmlab.errors import ConfigError
from rmlab.losses.lists import AllPairs, PlackettLuce
from rmlab.losses.pairs import BradleyTerry

LOSS = AllPairs()
ORDERS = torch.tensor(list(permutations(range(4))))


def test_it_is_the_mean_over_pairs(table, normal):
    scores = 3 * normal(20, 4)
    by_pair = [BradleyTerry()(scores[:, [i, j]], table(20)) for i, j in combinations(range(4), 2)]
    torch.testing.assert_close(LOSS(scores, table(20, 4)), torch.stack(by_pair).mean(dim=0))


def test_of_two_it_equals_bradley_terry(table, normal):
    scores = 5 * normal(200, 2)
    torch.testing.assert_close(LOSS(scores, table(200)), BradleyTerry()(scores, table(200)))


def expectations(loss, w, x, table):
    """Over all orders of each list under Plackett-Luce at w: mean gradient, its mean square, mean Hessian.

    x: [lists, 4, d]; the asymptotic covariance of the fitted weights is H⁻¹ G H⁻¹ / n.
    """
    gradient, square, hessian = torch.zeros(len(w)), torch.zeros(len(w), len(w)), torch.zeros(len(w), len(w))
    for lists in x:
        ranked = lists[ORDERS]
        chance = PlackettLuce()(ranked @ w, table(24, 4)).neg().exp()

        def each(v, ranked=ranked):
            return loss(ranked @ v, table(24, 4))

        def total(v, chance=chance, each=each):
            return chance @ each(v)

        jacobian = torch.autograd.functional.jacobian(each, w)
        gradient = gradient + chance @ jacobian
        square = square + jacobian.T @ (chance[:, None] * jacobian)
        hessian = hessian + torch.autograd.functional.hessian(total, w)
    return gradient / len(x), square / len(x), hessian / len(x)


def test_on_plackett_luce_rankings_it_is_consistent_with_a_higher_variance(table, normal):
    w, x = normal(3).detach(), normal(6, 4, 3, seed=1).detach()
    covariance = []
    for loss in (PlackettLuce(), LOSS):
        gradient, square, hessian = expectations(loss, w, x, table)
        torch.testing.assert_close(gradient, torch.zeros(3).double())  # the true weights are the optimum
        inverse = torch.linalg.inv(hessian)
        covariance.append(inverse @ square @ inverse)
    excess = torch.linalg.eigvalsh(covariance[1] - covariance[0])
    assert (excess > 1e-3).all()  # in every direction


def test_it_recovers_the_weights_of_sampled_rankings(table, minimum):
    rng = np.random.default_rng(0)
    w = np.array([1.0, -2.0, 0.5])
    x = rng.normal(size=(4000, 4, 3))
    order = np.argsort(-(x @ w + rng.gumbel(size=(4000, 4))), axis=1)
    ranked = torch.from_numpy(np.take_along_axis(x, order[:, :, None], axis=1))
    fitted = minimum(lambda v: LOSS(ranked @ v, table(4000, 4, kind="list")).mean(), 3)
    np.testing.assert_allclose(fitted, w, atol=0.08)


def test_gradient_check(table, normal):
    assert torch.autograd.gradcheck(lambda s: LOSS(s, table(7, 4)), (normal(7, 4),))


def test_extreme_scores_stay_exact_and_finite(at_extremes):
    value, gradient = at_extremes(LOSS, [[1e4, 0, -1e4], [-1e4, 0, 1e4], [1e4, 1e4, -1e4]])
    torch.testing.assert_close(value, torch.tensor([0.0, 4e4 / 3, math.log(2) / 3]).double())
    expected = torch.tensor([[0, 0, 0], [-2, 0, 2], [-0.5, 0.5, 0]]).double() / 3
    torch.testing.assert_close(gradient, expected)


def test_choices_and_single_responses_are_refused(table):
    with pytest.raises(ConfigError, match="all_pairs needs whole rankings.*use loss=choice"):
        LOSS(torch.zeros(4, 3), table(4, 3, kind="choice"))
    with pytest.raises(ConfigError, match="all_pairs compares 2 or more responses, not 1"):
        LOSS(torch.zeros(4, 1), table(4, 1, kind="unpaired"))
