from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from rmlab.errors import InputError
from rmlab.losses.lists import Regression

LOSS = Regression()


def test_hand_values(table):
    scores = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]).double()
    golden = np.array([[1.0, 0.0, 0.0], [1.0, 1.0, -2.0]])
    expected = torch.tensor([13 / 3, 2.0]).double()
    torch.testing.assert_close(LOSS(scores, table(2, 3, golden=golden)), expected)


def test_linear_head_equals_scikit_learn(table, minimum):
    rng = np.random.default_rng(0)
    x, golden = rng.normal(size=(200, 2, 4)), rng.normal(size=(200, 2))
    tensor, comparisons = torch.from_numpy(x), table(200, golden=golden)
    fitted = minimum(lambda w: 2 * LOSS(tensor @ w, comparisons).sum() + 3 * w.square().sum(), 4)
    expected = Ridge(alpha=3.0, fit_intercept=False).fit(x.reshape(400, 4), golden.ravel()).coef_
    np.testing.assert_allclose(fitted, expected, atol=1e-7)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_gradient_check(table, normal, k):
    comparisons = table(7, k, golden=np.random.default_rng(0).normal(size=(7, k)))
    assert torch.autograd.gradcheck(lambda s: LOSS(s, comparisons), (normal(7, k),))


def test_extreme_scores_stay_exact_and_finite(at_extremes):
    value, gradient = at_extremes(LOSS, [[1e4, -1e4], [0, 0]], golden=np.array([[-1e4, -1e4], [0, 1e4]]))
    torch.testing.assert_close(value, torch.tensor([2e8, 5e7]).double())
    torch.testing.assert_close(gradient, torch.tensor([[2e4, 0], [0, -1e4]]).double())


@pytest.mark.parametrize("unknown", [np.nan, np.inf])
def test_unknown_golden_rewards_are_refused(table, unknown):
    with pytest.raises(InputError, match="regression needs the golden reward of every compared response"):
        LOSS(torch.zeros(2, 2), table(2, golden=np.array([[0.0, 1.0], [unknown, 0.0]])))
    with pytest.raises(InputError, match="regression needs the golden reward"):
        LOSS(torch.zeros(2, 2), table(2))
