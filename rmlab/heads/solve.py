"""The optimum of a penalised loss over the weights of a linear head: preconditioned L-BFGS.

Why not a library's: along a direction the scores are x (w + t d) = x w + t x d, so a line search needs no
further product with x; an iteration costs two products, in float32 where the tolerance allows it. Searching
by slopes instead of values, which rounding blurs near the optimum, makes float32 enough.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.linalg import cholesky, solve_triangular

from rmlab.heads.design import Design
from rmlab.heads.inputs import mean_loss
from rmlab.losses.base import Loss

CURVATURE = 0.25  # of the logistic loss at a margin of 0, its largest
FLOOR = 1e-5  # of the largest diagonal entry: keeps the preconditioner positive definite in float32
MEMORY = 20
TRIALS, FLAT = 12, 0.1  # of a line search: steps tried, and the share of the first slope that is flat enough
STUCK = 1e-13  # a step of less than this share of the weights is none

Pairs = deque[tuple[Tensor, Tensor, float]]  # step, change of the gradient, 1 / their product


@dataclass(frozen=True, eq=False)
class Solution:
    """parameters: [p]; gradient: its largest absolute entry there."""

    l2: float
    parameters: Tensor
    gradient: float
    iterations: int


@dataclass(frozen=True, eq=False)
class Problem:
    """f(w) = sum(weight * loss(x w)) / sum(weight) + penalty · w² / 2; penalty: [p], 0 for the intercept.

    Autograd sees only the [n, K] scores, so any loss fits.
    """

    design: Design
    loss: Loss
    penalty: Tensor

    def by_values(self, values: Tensor) -> tuple[float, Tensor]:
        """values: [r] = x w -> the loss without the penalty and its gradient by the values, [r]."""
        scores = self.design.scores(values).requires_grad_()
        value = mean_loss(self.loss, scores, self.design.comparisons)
        by_score = torch.autograd.grad(value, scores)[0]
        return value.item(), self.design.pull_back(by_score)

    def gradient(self, w: Tensor, by_value: Tensor) -> Tensor:
        return self.design.pull(by_value) + self.penalty * w


def objective(w: Tensor, problem: Problem) -> tuple[float, Tensor]:
    """f and its gradient [p], at once."""
    value, by_value = problem.by_values(problem.design.values(w))
    return value + 0.5 * float(problem.penalty @ w.square()), problem.gradient(w, by_value)


def solve(start: Tensor, problem: Problem, l2: float, tolerance: float, most: int) -> Solution:
    """Ends when the largest entry of the gradient is at most the tolerance, after `most` iterations, or
    when no step helps.

    The first guess at the inverse Hessian is that of CURVATURE * gram + penalty: ill-conditioned
    embeddings take hundreds of iterations without it and some ten with it.
    """
    factor = _factor(problem.design.gram, problem.penalty)
    w, pairs, iterations = start.clone(), deque(maxlen=MEMORY), 0  # type: tuple[Tensor, Pairs, int]
    values = problem.design.values(w)
    gradient = problem.gradient(w, problem.by_values(values)[1])
    while float(gradient.abs().max()) > tolerance and iterations < most:
        direction = -_inverse_hessian(gradient, pairs, factor)
        along = problem.design.values(direction)
        t, by_value = _line_search(problem, w, direction, values, along, float(gradient @ direction))
        iterations += 1
        step = t * direction
        if float(step.abs().max()) <= STUCK * (1 + float(w.abs().max())):
            break
        w, values = w + step, values + t * along
        before, gradient = gradient, problem.gradient(w, by_value)
        change = gradient - before
        if float(step @ change) > 0:
            pairs.append((step, change, 1 / float(step @ change)))
    return Solution(l2, w, float(gradient.abs().max()), iterations)


def _line_search(
    problem: Problem, w: Tensor, direction: Tensor, values: Tensor, along: Tensor, first: float
) -> tuple[float, Tensor]:
    """t > 0 at which the slope is nearly 0, and the gradient by the values there; first: the slope at 0."""
    pull = float(problem.penalty @ (w * direction))
    stiffness = float(problem.penalty @ direction.square())
    low, low_slope, high, high_slope = 0.0, first, float("inf"), 0.0
    t = 1.0
    for _ in range(TRIALS):
        by_value = problem.by_values(values + t * along)[1]
        slope = float(by_value @ along) + pull + t * stiffness
        if abs(slope) <= FLAT * abs(first):
            break
        if slope < 0:
            low, low_slope = t, slope
        else:
            high, high_slope = t, slope
        t = _next(low, low_slope, high, high_slope, first)
    return t, by_value


def _next(low: float, low_slope: float, high: float, high_slope: float, first: float) -> float:
    """Where the line through the two slopes crosses 0, kept well inside; further out without an end."""
    if high == float("inf"):
        secant = low * first / (first - low_slope) if low_slope > first else 4 * low
        return min(max(secant, 1.5 * low), 4 * low)
    crossing = low + (high - low) * low_slope / (low_slope - high_slope)
    margin = 0.1 * (high - low)
    return min(max(crossing, low + margin), high - margin)


def _inverse_hessian(gradient: Tensor, pairs: Pairs, factor: Tensor) -> Tensor:
    """The two loops of L-BFGS (Nocedal 1980)."""
    q, shares = gradient.clone(), []
    for step, change, scale in reversed(pairs):
        share = scale * float(step @ q)
        q -= share * change
        shares.append(share)
    r = _by_factor(q, factor)
    for (step, change, scale), share in zip(pairs, reversed(shares), strict=True):
        r += (share - scale * float(change @ r)) * step
    return r


def _by_factor(q: Tensor, factor: Tensor) -> Tensor:
    """(L Lᵀ)⁻¹ q in the precision of the factor."""
    inner = solve_triangular(factor, q[:, None].to(factor.dtype), upper=False)
    return solve_triangular(factor.T, inner, upper=True)[:, 0].to(q.dtype)


def _factor(gram: Tensor, penalty: Tensor) -> Tensor:
    """[p, p] lower triangle; any would do, a poor one only takes more iterations."""
    matrix = CURVATURE * gram
    floor = FLOOR * max(float(matrix.diagonal().max()), FLOOR)
    matrix.diagonal().add_(penalty.to(matrix.dtype).clamp(min=floor))
    return cholesky(matrix)
