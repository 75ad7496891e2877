from __future__ import annotations

import math

import choix
import numpy as np
import pytest
import torch

from rmlab.errors import ConfigError
from rmlab.losses.lists import Choice
from rmlab.losses.pairs import BradleyTerry

LOSS = Choice()


def test_of_two_it_equals_bradley_terry(table, normal):
    scores = 5 * normal(200, 2)
    torch.testing.assert_close(LOSS(scores, table(200)), BradleyTerry()(scores, table(200)))


@pytest.mark.parametrize("kind", ["choice", "list", "pair"])
def test_probabilities_of_all_choices_sum_to_one(table, normal, kind):
    scores = 3 * normal(20, 4)
    each = [LOSS(scores.roll(-k, dims=1), table(20, 4, kind=kind)) for k in range(4)]
    torch.testing.assert_close(torch.stack(each).neg().exp().sum(dim=0), torch.ones(20).double())


def test_the_order_of_the_rest_is_not_read(table, normal):
    scores = normal(20, 4)
    torch.testing.assert_close(LOSS(scores, table(20, 4)), LOSS(scores[:, [0, 3, 1, 2]], table(20, 4)))


def test_one_hot_linear_head_equals_choix_strengths(table, minimum):
    rng = np.random.default_rng(0)
    strength = rng.normal(size=6)
    shown = np.array([rng.choice(6, 4, replace=False) for _ in range(400)])
    chosen = (strength[shown] + rng.gumbel(size=shown.shape)).argmax(axis=1)
    swap = shown.copy()
    swap[:, 0], swap[np.arange(400), chosen] = shown[np.arange(400), chosen], shown[:, 0]
    x = torch.eye(6, dtype=torch.float64)[torch.from_numpy(swap)]
    fitted = minimum(lambda w: LOSS(x @ w, table(400, 4, kind="choice")).mean(), 6)
    expected = choix.ilsr_top1(6, [(row[0], row[1:]) for row in swap.tolist()])
    np.testing.assert_allclose(fitted - fitted.mean(), expected - expected.mean(), atol=1e-5)


def test_gradient_check(table, normal):
    assert torch.autograd.gradcheck(lambda s: LOSS(s, table(7, 4)), (normal(7, 4),))


def test_extreme_scores_stay_exact_and_finite(at_extremes):
    value, gradient = at_extremes(LOSS, [[1e4, -1e4, 0], [-1e4, 1e4, 0], [1e4, 1e4, -1e4]])
    torch.testing.assert_close(value, torch.tensor([0.0, 2e4, math.log(2)]).double())
    torch.testing.assert_close(gradient, torch.tensor([[0, 0, 0], [-1, 1, 0], [-0.5, 0.5, 0]]).double())


def test_single_responses_are_refused(table):
    with pytest.raises(ConfigError, match="choice compares 2 or more responses, not 1: .*loss=unpaired"):
        LOSS(torch.zeros(4, 1), table(4, 1, kind="unpaired"))
