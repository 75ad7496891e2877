from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import hinge_loss

from rmlab.errors import ConfigError
from rmlab.losses.base import Centred, Kinked
from rmlab.losses.pairs import BradleyTerry, Hinge


def test_hand_values(table):
    scores = torch.tensor([[0.0, 0.0], [2.0, 1.5], [3.0, 2.0], [5.0, 1.0], [1.0, 3.0]]).double()
    expected = torch.tensor([1.0, 0.5, 0.0, 0.0, 3.0]).double()
    torch.testing.assert_close(Hinge()(scores, table(5)), expected)
    torch.testing.assert_close(
        Hinge(margin=2.0)(scores, table(5)), torch.tensor([2.0, 1.5, 1.0, 0.0, 4.0]).double()
    )


def test_mean_equals_scikit_learn(table, normal):
    scores = normal(100, 2).detach()
    side = np.random.default_rng(0).choice([-1, 1], 100)  # the response shown first won or lost
    shown_first = side * (scores[:, 0] - scores[:, 1]).numpy()
    assert math.isclose(Hinge()(scores, table(100)).mean(), hinge_loss(side, shown_first), rel_tol=1e-12)


def test_gradient_check(table, normal):
    scores = normal(20, 2)
    m = scores[:, 0] - scores[:, 1]
    assert (m > 1).any() and (m < 1).any() and ((m - 1).abs() > 1e-3).all()
    assert torch.autograd.gradcheck(lambda s: Hinge()(s, table(20)), (scores,))


def test_extreme_scores_stay_exact_and_finite(at_extremes):
    value, gradient = at_extremes(Hinge(), [[1e4, -1e4], [-1e4, 1e4], [1e4, 1e4]])
    torch.testing.assert_close(value, torch.tensor([0.0, 20001.0, 1.0]).double())
    torch.testing.assert_close(gradient, torch.tensor([[0, 0], [-1, 1], [-1, 1]]).double())


def test_bad_input_and_parameters_are_refused(table):
    with pytest.raises(ConfigError, match="hinge compares 2 responses, not 1: .*loss=unpaired"):
        Hinge()(torch.zeros(4, 1), table(4, 1))
    for margin in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="margin is"):
            Hinge(margin=margin)


@pytest.mark.parametrize("margin", [1.0, 3.0])
@pytest.mark.parametrize("width", [1.0, 1e-3])
def test_rounded_lies_above_by_an_eighth_of_the_width_at_most(table, margin, width):
    m = margin * (1 + torch.linspace(-2, 2, 4001, dtype=torch.float64) * width)
    scores = torch.stack([m, torch.zeros_like(m)], dim=1)
    loss = Hinge(margin)
    above = loss.rounded(width)(scores, table(4001)) - loss(scores, table(4001))
    assert above.min() >= 0
    assert above.max() == pytest.approx(margin * width / 8, rel=1e-6)
    assert (above[(m - margin).abs() >= margin * width / 2 * (1 + 1e-9)] == 0).all()


def test_rounded_has_a_continuous_slope(table, normal):
    scores = normal(200, 2)
    rounded = Hinge().rounded(1.5)
    assert torch.autograd.gradcheck(lambda s: rounded(s, table(200)), (scores,))
    ends = torch.tensor([[0.25 - 1e-9, 0], [0.25 + 1e-9, 0], [1.75 - 1e-9, 0], [1.75 + 1e-9, 0]]).double()
    ends.requires_grad_()
    slope = torch.autograd.grad(rounded(ends, table(4)).sum(), ends)[0][:, 0]
    torch.testing.assert_close(slope, torch.tensor([-1.0, -1.0, 0.0, 0.0]).double(), atol=1e-7, rtol=0)


def test_centred_is_rounded_as_the_loss_it_wraps(table, normal):
    scores = normal(50, 2).detach()
    pull = 0.1 * scores.sum(dim=1).square()
    found = Centred(Hinge(), 0.1).rounded(0.5)(scores, table(50))
    torch.testing.assert_close(found, Hinge().rounded(0.5)(scores, table(50)) + pull)
    assert not isinstance(Centred(BradleyTerry(), 0.1), Kinked)
