from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from rmlab.errors import ConfigError
from rmlab.losses.pairs import BradleyTerry, LabelSmoothing


def test_no_smoothing_is_bradley_terry_bit_for_bit(table, normal):
    scores = 5 * normal(200, 2)
    assert torch.equal(LabelSmoothing(epsilon=0.0)(scores, table(200)), BradleyTerry()(scores, table(200)))


def test_it_equals_the_smoothed_cross_entropy_of_torch(table, normal):
    scores = 3 * normal(50, 2)
    chosen = torch.zeros(50, dtype=torch.int64)
    # there the rest of the label is spread over both classes, so epsilon counts twice
    expected = cross_entropy(scores, chosen, reduction="none", label_smoothing=0.2)
    torch.testing.assert_close(LabelSmoothing(epsilon=0.1)(scores, table(50)), expected)


@pytest.mark.parametrize("epsilon", [0.01, 0.1, 0.4])
def test_the_best_margin_on_separable_data_is_finite(table, minimum, epsilon):
    x = torch.tensor([1.0, 0.0]).double()  # every winner has the feature, no loser has it
    best = minimum(lambda w: LabelSmoothing(epsilon)((w * x).repeat(5, 1), table(5)).mean(), 1)
    assert best[0] == pytest.approx(math.log((1 - epsilon) / epsilon), abs=1e-6)


def test_gradient_check(table, normal):
    assert torch.autograd.gradcheck(lambda s: LabelSmoothing()(s, table(7)), (normal(7, 2),))


def test_extreme_scores_stay_exact_and_finite(at_extremes):
    value, gradient = at_extremes(LabelSmoothing(epsilon=0.25), [[1e4, -1e4], [-1e4, 1e4], [1e4, 1e4]])
    torch.testing.assert_close(value, torch.tensor([5000.0, 15000.0, math.log(2)]).double())
    expected = torch.tensor([[0.25, -0.25], [-0.75, 0.75], [-0.25, 0.25]]).double()
    torch.testing.assert_close(gradient, expected)


def test_bad_input_and_parameters_are_refused(table):
    with pytest.raises(ConfigError, match="label_smoothing compares 2 responses, not 4: .*loss=choice"):
        LabelSmoothing()(torch.zeros(4, 4), table(4, 4))
    for epsilon in (-0.1, 0.5, math.nan):
        with pytest.raises(ValueError, match="epsilon is"):
            LabelSmoothing(epsilon=epsilon)
