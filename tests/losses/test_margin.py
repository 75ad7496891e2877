from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from rmlab.errors import ConfigError
from rmlab.losses.pairs import BradleyTerry, Margin


def test_no_margin_is_bradley_terry_bit_for_bit(table, normal):
    scores = 5 * normal(200, 2)
    expected = BradleyTerry()(scores, table(200))
    assert torch.equal(Margin(scale=3.0)(scores, table(200)), expected)
    gaps = np.linspace(0.1, 9, 200)
    assert torch.equal(Margin(scale=0.0)(scores, table(200, margin=gaps)), expected)


def test_the_margin_is_that_of_the_score(table):
    gap = np.array([0.5, 2.0])
    ahead = torch.tensor([[3.0, 2.0], [4.0, 0.0]]).double()  # m = 2 gap
    expected = torch.full((2,), math.log(2)).double()
    torch.testing.assert_close(Margin(scale=2.0)(ahead, table(2, margin=gap)), expected)
    by_hand = -torch.log(torch.sigmoid(torch.tensor([1 - 0.5, 4 - 2.0]).double()))
    torch.testing.assert_close(Margin()(ahead, table(2, margin=gap)), by_hand)


def test_gradient_check(table, normal):
    comparisons = table(7, margin=np.linspace(0, 3, 7))
    assert torch.autograd.gradcheck(lambda s: Margin(scale=0.7)(s, comparisons), (normal(7, 2),))


def test_extreme_scores_stay_exact_and_finite(at_extremes):
    gap = np.array([1.0, 1.0, 2e4])
    value, gradient = at_extremes(Margin(), [[1e4, -1e4], [-1e4, 1e4], [1e4, -1e4]], margin=gap)
    torch.testing.assert_close(value, torch.tensor([0.0, 20001.0, math.log(2)]).double())
    torch.testing.assert_close(gradient, torch.tensor([[0, 0], [-1, 1], [-0.5, 0.5]]).double())


def test_bad_input_and_parameters_are_refused(table):
    with pytest.raises(ConfigError, match="margin compares 2 responses, not 3"):
        Margin()(torch.zeros(4, 3), table(4, 3))
    for scale in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="scale is"):
            Margin(scale=scale)
