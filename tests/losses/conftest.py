"""Small comparisons, scores and a minimiser for the tests of losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from rmlab.comparisons import Comparisons


def make_table(n: int, k: int = 2, **columns: Any) -> Comparisons:
    items = np.arange(k * n).reshape(n, k)
    return Comparisons(items=items, group=np.zeros(n, dtype=np.int64), **columns)


@pytest.fixture
def table() -> Callable[..., Comparisons]:
    """(n, k=2, **columns) -> n comparisons of k responses."""
    return make_table


@pytest.fixture
def normal() -> Callable[..., Tensor]:
    """(*shape, seed=0) -> standard normal scores, float64, that take a gradient."""

    def draw(*shape: int, seed: int = 0) -> Tensor:
        rng = torch.Generator().manual_seed(seed)
        return torch.randn(*shape, dtype=torch.float64, generator=rng).requires_grad_()

    return draw


@pytest.fixture
def minimum() -> Callable[[Callable[[Tensor], Tensor], int], np.ndarray]:
    """(objective of [d] weights, d) -> the weights at its minimum."""

    def solve(objective: Callable[[Tensor], Tensor], d: int) -> np.ndarray:
        def value_and_gradient(w: np.ndarray) -> tuple[float, np.ndarray]:
            weights = torch.tensor(w, requires_grad=True)
            value = objective(weights)
            return value.item(), torch.autograd.grad(value, weights)[0].numpy()

        options = {"gtol": 1e-9, "ftol": 0.0, "maxiter": 1000}
        return minimize(value_and_gradient, np.zeros(d), jac=True, method="L-BFGS-B", options=options).x

    return solve


@pytest.fixture
def at_extremes() -> Callable[..., tuple[Tensor, Tensor]]:
    """(loss, scores, **columns) -> values and gradients of the scores, the same in float32 as in float64."""

    def evaluate(loss: Any, rows: list[list[float]], **columns: Any) -> tuple[Tensor, Tensor]:
        found = []
        for dtype in (torch.float32, torch.float64):
            scores = torch.tensor(rows, dtype=dtype, requires_grad=True)
            values = loss(scores, make_table(len(rows), len(rows[0]), **columns))
            assert values.dtype == dtype
            found.append((values.detach().double(), torch.autograd.grad(values.sum(), scores)[0].double()))
        (single, single_gradient), (value, gradient) = found
        torch.testing.assert_close(single, value, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(single_gradient, gradient, rtol=1e-5, atol=1e-6)
        assert value.isfinite().all() and gradient.isfinite().all()
        return value, gradient

    return evaluate
