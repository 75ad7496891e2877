from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from rmlab.comparisons import Comparisons
from rmlab.errors import ConfigError
from rmlab.losses.pairs import BradleyTerry, Classification

LOSS = Classification()


def table(n: int) -> Comparisons:
    return Comparisons(items=np.arange(2 * n).reshape(n, 2), group=np.zeros(n, dtype=np.int64))


def test_linear_head_equals_scikit_learn():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2, 4))
    x[:, 0] += 0.4  # the preferred differ
    tensor = torch.from_numpy(x)

    def objective(w: np.ndarray) -> tuple[float, np.ndarray]:
        weights = torch.tensor(w, requires_grad=True)
        total = LOSS(tensor @ weights, table(300)).sum() + weights.square().sum() / 2
        total.backward()
        return total.item(), weights.grad.numpy()

    fitted = minimize(objective, np.zeros(4), jac=True, method="BFGS", options={"gtol": 1e-8}).x
    labels = np.tile([1, 0], 300)
    expected = LogisticRegression(C=1.0, fit_intercept=False, tol=1e-10, max_iter=1000)
    expected.fit(x.reshape(600, 4), labels)
    np.testing.assert_allclose(fitted, expected.coef_[0], atol=1e-5)


score = st.floats(-1e4, 1e4)


@given(st.lists(st.tuples(score, score), min_size=1, max_size=20))
def test_it_bounds_bradley_terry_pointwise(rows):
    scores = torch.tensor(rows, dtype=torch.float64)
    below, above = BradleyTerry()(scores, table(len(rows))), LOSS(scores, table(len(rows)))
    assert (below <= above * (1 + 1e-12)).all()


def test_hand_values_and_no_shift_invariance():
    scores = torch.tensor([[0.0, 0.0], [np.log(3.0), -np.log(3.0)], [np.log(3.0), np.log(3.0)]]).double()
    expected = torch.tensor([np.log(4), 2 * np.log(4 / 3), np.log(4 / 3) + np.log(4)]).double()
    torch.testing.assert_close(LOSS(scores, table(3)), expected)


def test_gradient_check():
    scores = torch.randn(
        7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    ).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: LOSS(s, table(7)), (scores,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_scores_stay_exact_and_finite(dtype):
    scores = torch.tensor([[1e4, -1e4], [-1e4, 1e4]], dtype=dtype, requires_grad=True)
    loss = LOSS(scores, table(2))
    torch.testing.assert_close(loss.detach(), torch.tensor([0.0, 2e4], dtype=dtype))
    loss.sum().backward()
    torch.testing.assert_close(scores.grad, torch.tensor([[0, 0], [-1, 1]], dtype=dtype))


def test_lists_are_refused():
    with pytest.raises(ConfigError, match="compares 2 responses, not 4"):
        LOSS(torch.zeros(4, 4), table(4))
