from __future__ import annotations

import choix
import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from rmlab.comparisons import Comparisons
from rmlab.errors import ConfigError
from rmlab.losses.pairs import BradleyTerry

LOSS = BradleyTerry()


def pairs(n: int) -> Comparisons:
    return Comparisons(items=np.arange(2 * n).reshape(n, 2), group=np.zeros(n, dtype=np.int64))


def test_one_hot_linear_head_equals_choix_strengths():
    rng = np.random.default_rng(0)
    strength = rng.normal(size=6)
    items = np.array([rng.choice(6, 2, replace=False) for _ in range(600)])
    wins = rng.random(600) < 1 / (1 + np.exp(strength[items[:, 1]] - strength[items[:, 0]]))
    items = np.where(wins[:, None], items, items[:, ::-1])
    x = torch.eye(6, dtype=torch.float64)[torch.from_numpy(items.copy())]  # [n, 2, 6]

    def objective(w: np.ndarray) -> tuple[float, np.ndarray]:
        weights = torch.tensor(w, requires_grad=True)
        total = LOSS(x @ weights, pairs(len(items))).sum()
        total.backward()
        return total.item(), weights.grad.numpy()

    fitted = minimize(objective, np.zeros(6), jac=True, method="BFGS", options={"gtol": 1e-8}).x
    expected = choix.ilsr_pairwise(6, [tuple(pair) for pair in items.tolist()], alpha=0.0)
    np.testing.assert_allclose(fitted - fitted.mean(), expected - expected.mean(), atol=1e-5)


def test_values_by_hand():
    scores = torch.tensor([[2.0, 2.0], [np.log(3.0), 0.0], [0.0, np.log(3.0)]], dtype=torch.float64)
    expected = torch.tensor([np.log(2), np.log(4 / 3), np.log(4)], dtype=torch.float64)
    torch.testing.assert_close(LOSS(scores, pairs(3)), expected)


def test_gradients_match_finite_differences():
    scores = torch.randn(
        7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    ).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: LOSS(s, pairs(7)), (scores,))


def test_a_shift_of_each_comparison_changes_nothing():
    generator = torch.Generator().manual_seed(1)
    scores = torch.randn(50, 2, dtype=torch.float64, generator=generator)
    shift = 10 * torch.randn(50, 1, dtype=torch.float64, generator=generator)
    torch.testing.assert_close(LOSS(scores + shift, pairs(50)), LOSS(scores, pairs(50)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_large_scores_stay_exact_and_finite(dtype):
    scores = torch.tensor([[1e4, -1e4], [-1e4, 1e4], [1e4, 1e4]], dtype=dtype, requires_grad=True)
    loss = LOSS(scores, pairs(3))
    torch.testing.assert_close(loss.detach(), torch.tensor([0.0, 2e4, np.log(2)], dtype=dtype))
    loss.sum().backward()
    expected = torch.tensor([[0, 0], [-1, 1], [-0.5, 0.5]], dtype=dtype)
    torch.testing.assert_close(scores.grad, expected)


def test_three_scores_a_comparison_are_refused():
    with pytest.raises(ConfigError, match="compares 2 responses, not 3"):
        LOSS(torch.zeros(4, 3), pairs(4))
