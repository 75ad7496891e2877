from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from rmlab.losses.base import Centred, Diagnosing
from rmlab.losses.lists import Choice, UnpairedLoss
from rmlab.losses.pairs import BradleyTerry, LabelSmoothing, NoiseCorrected
from rmlab.losses.robust import Adaptive, Distributional, RobustBtl


def test_hand_values(table):
    scores = torch.tensor([[2.0, 1.0], [1.0, -1.0]]).double()
    extra = Centred(BradleyTerry(), 0.5)(scores, table(2)) - BradleyTerry()(scores, table(2))
    torch.testing.assert_close(extra, torch.tensor([4.5, 0.0]).double())


@pytest.mark.parametrize(("loss", "k"), [(UnpairedLoss(), 1), (BradleyTerry(), 2), (Choice(), 4)])
def test_it_adds_the_squared_sum_of_each_comparison(table, normal, loss, k):
    scores, comparisons = normal(20, k), table(20, k)
    extra = Centred(loss, 0.3)(scores, comparisons) - loss(scores, comparisons)
    torch.testing.assert_close(extra, 0.3 * scores.sum(dim=1).square())
    assert torch.equal(Centred(loss, 0.0)(scores, comparisons), loss(scores, comparisons))


def test_a_set_loss_gets_the_mean_of_the_batch(table, normal):
    scores, loss = normal(20, 2), Distributional()
    value = Centred(loss, 0.3)(scores, table(20))
    assert value.shape == ()
    expected = loss(scores, table(20)) + 0.3 * scores.sum(dim=1).square().mean()
    torch.testing.assert_close(value, expected)


def test_it_removes_the_shift_of_a_prompt_and_no_difference(table, normal, minimum):
    shift = torch.linspace(-5, 5, 10).double()
    free, rate = 0.1 * normal(10, 2).detach() + shift[:, None], 0.1
    loss = Centred(LabelSmoothing(rate), 0.5)
    fitted = minimum(lambda v: loss(free + v.reshape(10, 2), table(10)).sum(), 20)
    scores = free.numpy() + fitted.reshape(10, 2)
    np.testing.assert_allclose(scores.sum(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(scores[:, 0] - scores[:, 1], math.log((1 - rate) / rate), atol=1e-6)


def test_it_keeps_the_order_of_separable_data_under_shifted_prompts(table, minimum):
    rng = np.random.default_rng(0)
    quality = rng.normal(size=(50, 2))
    quality = -np.sort(-quality, axis=1)  # the better first
    level = np.repeat(3 * rng.normal(size=(50, 1)), 2, axis=1)  # of the prompt
    x = torch.from_numpy(np.stack([quality + level, level], axis=2))
    fits = [
        minimum(lambda w, loss=loss: loss(x @ w, table(50)).mean() + 1e-3 * w.square().sum(), 2)
        for loss in (BradleyTerry(), Centred(BradleyTerry(), 1.0))
    ]
    plain, centred = (x.numpy() @ w for w in fits)
    assert (centred[:, 0] > centred[:, 1]).all()
    assert centred.sum(axis=1).std() < 0.5 * plain.sum(axis=1).std()


def test_gradient_check(table, normal):
    for loss in (BradleyTerry(), RobustBtl(), Distributional()):
        assert torch.autograd.gradcheck(lambda s, loss=loss: Centred(loss, 0.3)(s, table(7)), (normal(7, 2),))


def test_extreme_scores_stay_exact_and_finite(at_extremes):
    value, gradient = at_extremes(Centred(BradleyTerry(), 0.5), [[1e4, -1e4], [-1e4, 1e4], [1e4, 1e4]])
    torch.testing.assert_close(value, torch.tensor([0, 2e4, 2e8]).double())
    torch.testing.assert_close(gradient, torch.tensor([[0, 0], [-1, 1], [2e4 - 0.5, 2e4 + 0.5]]).double())


@pytest.mark.parametrize("loss", [RobustBtl(), Adaptive()])
def test_a_diagnosis_is_passed_through(table, normal, loss):
    scores, centred = normal(10, 2), Centred(loss, 0.1)
    assert isinstance(centred, Diagnosing)
    expected = loss.diagnose(scores, table(10))
    found = centred.diagnose(scores, table(10))
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)


def test_it_has_no_diagnosis_of_its_own_and_is_as_unbounded_as_its_loss():
    assert not isinstance(Centred(BradleyTerry(), 0.1), Diagnosing)
    assert Centred(NoiseCorrected(), 0.1).unbounded is True
    assert Centred(BradleyTerry(), 0.1).unbounded is False


def test_bad_parameters_are_refused():
    for eta in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match="centring is"):
            Centred(BradleyTerry(), eta)
