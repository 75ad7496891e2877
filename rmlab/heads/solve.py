"""The optimum of a penalised loss over the weights of a linear head, by preconditioned L-BFGS."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import OptimizeResult, minimize
from torch import Tensor
from torch.linalg import cholesky, solve_triangular

from rmlab.heads.design import Design
from rmlab.heads.inputs import mean_loss
from rmlab.losses.base import Loss

CURVATURE = 0.25  # of the logistic loss at a margin of 0, its largest
FLOOR = 1e-5  # of the largest diagonal entry: keeps the preconditioner positive definite in float32
MEMORY = 20


@dataclass(frozen=True, eq=False)
class Solution:
    """parameters: [p]; gradient: its largest absolute entry there."""

    l2: float
    parameters: Tensor
    gradient: float
    iterations: int


def objective(parameters: Tensor, design: Design, loss: Loss, penalty: Tensor) -> tuple[float, Tensor]:
    """f = sum(weight * loss(x @ parameters)) / sum(weight) + penalty · parameters² / 2, and its gradient [p].

    Autograd sees only the [n, K] scores, so any loss fits; penalty: [p], 0 for the intercept.
    """
    scores = design.scores(design.x @ parameters).requires_grad_()
    value = mean_loss(loss, scores, design.comparisons)
    by_score = torch.autograd.grad(value, scores)[0]
    gradient = design.x.T @ design.pull_back(by_score) + penalty * parameters
    return value.item() + 0.5 * float(penalty @ parameters.square()), gradient


def solve(
    start: Tensor, design: Design, loss: Loss, penalty: Tensor, l2: float, tolerance: float, most: int
) -> Solution:
    """L-BFGS on u = Lᵀ w with L Lᵀ = CURVATURE * gram + penalty, in which the loss is nearly round.

    Ill-conditioned embeddings need hundreds of iterations without it and some ten with it. Ends when
    the largest entry of the gradient by w is at most the tolerance, or after `most` iterations.
    """
    factor = _factor(design.gram, penalty)
    seen: list[tuple[Tensor, float]] = []  # of the last evaluation

    def by_u(u: np.ndarray) -> tuple[float, np.ndarray]:
        w = solve_triangular(factor.T, torch.from_numpy(u)[:, None], upper=True)[:, 0]
        value, gradient = objective(w, design, loss, penalty)
        seen[:] = [(w, float(gradient.abs().max()))]
        return value, solve_triangular(factor, gradient[:, None], upper=False)[:, 0].numpy()

    def stop(intermediate_result: OptimizeResult) -> None:
        if seen[0][1] <= tolerance:
            raise StopIteration

    # Only the gradient by w says that the optimum is reached.
    options = {"gtol": 0.0, "ftol": 0.0, "maxiter": most, "maxcor": MEMORY}
    u = (factor.T @ start).numpy()
    found = minimize(by_u, u, jac=True, method="L-BFGS-B", callback=stop, options=options)
    w = solve_triangular(factor.T, torch.from_numpy(found.x)[:, None], upper=True)[:, 0]
    gradient = objective(w, design, loss, penalty)[1]
    return Solution(l2, w, float(gradient.abs().max()), int(found.nit))


def _factor(gram: Tensor, penalty: Tensor) -> Tensor:
    """[p, p] float64 lower triangle; any would do, a poor one only takes more iterations."""
    matrix = CURVATURE * gram
    floor = FLOOR * max(float(matrix.diagonal().max()), FLOOR)
    matrix.diagonal().add_(penalty.to(matrix.dtype).clamp(min=floor))
    return cholesky(matrix).double()
