from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from rmlab.errors import ConfigError, InputError
from rmlab.losses.lists import UnpairedLoss
from rmlab.losses.pairs import Classification


def test_balanced_and_paired_it_equals_classification(table, normal):
    scores = 3 * normal(60, 2)
    single, share = scores.reshape(120, 1), np.tile([1.0, 0.0], 60)
    by_pair = UnpairedLoss()(single, table(120, 1, kind="unpaired", share=share)).reshape(60, 2).sum(dim=1)
    torch.testing.assert_close(by_pair, Classification()(scores, table(60)))


def test_linear_head_equals_scikit_learn_with_class_weights(table, minimum):
    rng = np.random.default_rng(0)
    share = (rng.random(300) < 0.2).astype(float)
    x = rng.normal(size=(300, 4)) + 0.5 * share[:, None]
    loss, comparisons = UnpairedLoss(desirable_weight=3.0, undesirable_weight=0.5), table(300, 1, share=share)
    tensor = torch.from_numpy(x[:, None])
    fitted = minimum(lambda w: loss(tensor @ w, comparisons).sum() + w.square().sum() / 2, 4)
    expected = LogisticRegression(
        class_weight={1: 3.0, 0: 0.5}, fit_intercept=False, tol=1e-10, max_iter=1000
    ).fit(x, share)
    np.testing.assert_allclose(fitted, expected.coef_[0], atol=1e-5)


def test_a_share_is_a_mixture_of_both_answers(table, normal):
    scores, loss = normal(30, 1), UnpairedLoss(2.0, 0.5)
    good, bad = (loss(scores, table(30, 1, share=np.full(30, p))) for p in (1.0, 0.0))
    mixed = loss(scores, table(30, 1, share=np.full(30, 0.3)))
    torch.testing.assert_close(mixed, 0.3 * good + 0.7 * bad)


def test_gradient_check(table, normal):
    comparisons = table(7, 1, share=np.linspace(0, 1, 7))
    assert torch.autograd.gradcheck(lambda s: UnpairedLoss(2.0, 0.5)(s, comparisons), (normal(7, 1),))


def test_extreme_scores_stay_exact_and_finite(at_extremes):
    share = np.array([1.0, 0.0, 1.0, 0.0])
    value, gradient = at_extremes(UnpairedLoss(2.0, 0.5), [[1e4], [1e4], [-1e4], [-1e4]], share=share)
    torch.testing.assert_close(value, torch.tensor([0.0, 5000, 2e4, 0]).double())
    torch.testing.assert_close(gradient, torch.tensor([[0.0], [0.5], [-2], [0]]).double())


def test_bad_input_and_parameters_are_refused(table):
    with pytest.raises(ConfigError, match="unpaired judges 1 response at a time, not 2: .*classification"):
        UnpairedLoss()(torch.zeros(4, 2), table(4))
    with pytest.raises(InputError, match="unpaired needs shares"):
        UnpairedLoss()(torch.zeros(1, 1), table(1, 1, share=np.array([2.0])))
    for weight in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="desirable_weight is"):
            UnpairedLoss(desirable_weight=weight)
        with pytest.raises(ValueError, match="undesirable_weight is"):
            UnpairedLoss(undesirable_weight=weight)
