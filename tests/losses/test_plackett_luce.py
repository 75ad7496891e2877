from __future__ import annotations

import math
from itertools import permutations

import choix
import numpy as np
import pytest
import torch

from rmlab.errors import ConfigError
from rmlab.losses.lists import PlackettLuce
from rmlab.losses.pairs import BradleyTerry

LOSS = PlackettLuce()


def probabilities(scores, table):
    """The probability of each of the K! orders of K scores, and the orders."""
    orders = torch.tensor(list(permutations(range(len(scores)))))
    return LOSS(scores[orders], table(len(orders), len(scores), kind="list")).neg().exp(), orders


def test_probabilities_of_all_orders_sum_to_one(table, normal):
    for seed in range(5):
        found, _ = probabilities(3 * normal(4, seed=seed), table)
        torch.testing.assert_close(found.sum(), torch.tensor(1.0).double())


def test_the_marginal_of_a_pair_is_bradley_terry(table, normal):
    scores = normal(4)
    found, orders = probabilities(scores, table)
    place = orders.argsort(dim=1)  # of each response
    for i, j in permutations(range(4), 2):
        marginal = found[place[:, i] < place[:, j]].sum()
        torch.testing.assert_close(marginal, torch.sigmoid(scores[i] - scores[j]))


def test_of_two_it_equals_bradley_terry(table, normal):
    scores = 5 * normal(200, 2)
    torch.testing.assert_close(LOSS(scores, table(200)), BradleyTerry()(scores, table(200)))


def test_gradients_in_a_list_sum_to_zero(table, normal):
    scores = 3 * normal(20, 5)
    gradient = torch.autograd.grad(LOSS(scores, table(20, 5)).sum(), scores)[0]
    torch.testing.assert_close(gradient.sum(dim=1), torch.zeros(20).double())
    assert (gradient[:, 0] < 0).all() and (gradient[:, -1] > 0).all()


def test_one_hot_linear_head_equals_choix_strengths(table, minimum):
    rng = np.random.default_rng(0)
    strength = rng.normal(size=6)
    shown = np.array([rng.choice(6, 4, replace=False) for _ in range(300)])
    order = np.argsort(-(strength[shown] + rng.gumbel(size=shown.shape)), axis=1)
    ranked = np.take_along_axis(shown, order, axis=1)
    x = torch.eye(6, dtype=torch.float64)[torch.from_numpy(ranked)]
    fitted = minimum(lambda w: LOSS(x @ w, table(300, 4, kind="list")).mean(), 6)
    expected = choix.ilsr_rankings(6, ranked.tolist())
    np.testing.assert_allclose(fitted - fitted.mean(), expected - expected.mean(), atol=1e-5)


def test_gradient_check(table, normal):
    assert torch.autograd.gradcheck(lambda s: LOSS(s, table(7, 4)), (normal(7, 4),))


def test_extreme_scores_stay_exact_and_finite(at_extremes):
    value, gradient = at_extremes(LOSS, [[1e4, 0, -1e4], [-1e4, 0, 1e4], [1e4, 1e4, -1e4]])
    torch.testing.assert_close(value, torch.tensor([0.0, 3e4, math.log(2)]).double())
    torch.testing.assert_close(gradient, torch.tensor([[0, 0, 0], [-1, -1, 2], [-0.5, 0.5, 0]]).double())


def test_choices_and_single_responses_are_refused(table):
    with pytest.raises(ConfigError, match="plackett_luce needs whole rankings.*use loss=choice"):
        LOSS(torch.zeros(4, 3), table(4, 3, kind="choice"))
    with pytest.raises(ConfigError, match="plackett_luce compares 2 or more responses, not 1"):
        LOSS(torch.zeros(4, 1), table(4, 1, kind="unpaired"))
