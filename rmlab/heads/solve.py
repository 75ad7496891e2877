"""Minimises a penalised loss over the weights of a linear head by preconditioned L-BFGS.

A library's solver would cost more: along a direction the scores are x (w + t d) = x w + t x d, so the line
search here needs no further product with x, and an iteration costs two products, in float32 where the
tolerance allows it. float32 suffices because the search uses slopes, not values, which rounding blurs near
the optimum.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.linalg import cholesky, solve_triangular

from rmlab.heads.base import mean_loss
from rmlab.heads.design import Design
from rmlab.losses.base import Loss

CURVATURE = 0.25  # second derivative of the logistic loss at a margin of 0, where it is largest
FLOOR = 1e-5  # of the largest diagonal entry: keeps the preconditioner positive definite in float32
MEMORY = 20
RENEWAL = 40  # iterations with the same preconditioner
TRIALS = 30  # steps that a line search tries
FLAT = 0.1  # the share of the first slope at which a line search stops
STUCK = 1e-13  # a step of a smaller share of the weights counts as none

Pairs = deque[tuple[Tensor, Tensor, float]]  # step, change of the gradient, 1 / their product


@dataclass(frozen=True, eq=False)
class Solution:
    """A solution. parameters: [p]; gradient: the largest absolute entry of the gradient there."""

    l2: float
    parameters: Tensor
    gradient: float
    iterations: int


class Iterate(NamedTuple):
    """A point of the search.

    values: [r] = x w; loss: without the penalty; by_value: [r], its gradient by values.
    """

    values: Tensor
    loss: float
    by_value: Tensor


class Trial(NamedTuple):
    """A step of t along a direction, with the loss there and its gradient by the values."""

    t: float
    loss: float
    by_value: Tensor


@dataclass(frozen=True, eq=False)
class LinearProblem:
    """f(w) = sum(weight * loss(x w)) / sum(weight) + penalty · w² / 2; penalty: [p], 0 for the intercept.

    Autograd differentiates by the [n, K] scores alone, so any loss will do.
    """

    design: Design
    loss: Loss
    penalty: Tensor

    def by_values(self, values: Tensor) -> tuple[float, Tensor]:
        """Returns the loss without the penalty and its gradient by the values, [r]. values: [r] = x w."""
        scores = self.design.scores(values).requires_grad_()
        value = mean_loss(self.loss, scores, self.design.comparisons)
        by_score = torch.autograd.grad(value, scores)[0]
        return value.item(), self.design.pull_back(by_score)

    def curvature(self, values: Tensor) -> Tensor:
        """Returns the second derivatives of the loss by the values, [r]; each row must be one comparison."""
        values = values.clone().requires_grad_()
        value = mean_loss(self.loss, self.design.scores(values), self.design.comparisons)
        slope = torch.autograd.grad(value, values, create_graph=True)[0]
        return torch.autograd.grad(slope.sum(), values)[0] if slope.requires_grad else torch.zeros_like(slope)

    def gradient(self, w: Tensor, by_value: Tensor) -> Tensor:
        """Returns the gradient of f by w, [p], from that by the values."""
        return self.design.pull(by_value) + self.penalty * w


def objective(w: Tensor, problem: LinearProblem) -> tuple[float, Tensor]:
    """Returns f(w) and its gradient, [p]."""
    value, by_value = problem.by_values(problem.design.values(w))
    return value + 0.5 * float(problem.penalty @ w.square()), problem.gradient(w, by_value)


def solve(start: Tensor, problem: LinearProblem, l2: float, tolerance: float, most: int) -> Solution:
    """Minimises f from start, until the largest entry of the gradient is at most the tolerance.

    It also ends after `most` iterations, or when no step lowers f. The preconditioner is the inverse of
    CURVATURE * gram + penalty: ill-conditioned embeddings take hundreds of iterations without it and about
    ten with it. After every RENEWAL iterations, which smooth losses rarely reach, it is replaced by the
    inverse Hessian at the current point, since the curvature of a rounded kink differs much between points.
    """
    factor = _factor(CURVATURE * problem.design.gram, problem.penalty)
    w, pairs, iterations = start.clone(), deque(maxlen=MEMORY), 0  # type: tuple[Tensor, Pairs, int]
    values = problem.design.values(w)
    here = Iterate(values, *problem.by_values(values))
    gradient = problem.gradient(w, here.by_value)
    while float(gradient.abs().max()) > tolerance and iterations < most:
        if iterations and iterations % RENEWAL == 0 and problem.design.items is None:
            factor = _factor(problem.design.weighted_gram(problem.curvature(here.values)), problem.penalty)
            pairs.clear()
        direction = -_inverse_hessian(gradient, pairs, factor)
        along = problem.design.values(direction)
        trial = _line_search(problem, w, direction, along, here, float(gradient @ direction))
        iterations += 1
        step = trial.t * direction
        if float(step.abs().max()) <= STUCK * (1 + float(w.abs().max())):
            break
        w, here = w + step, Iterate(here.values + trial.t * along, trial.loss, trial.by_value)
        before, gradient = gradient, problem.gradient(w, here.by_value)
        change = gradient - before
        if float(step @ change) > 0:
            pairs.append((step, change, 1 / float(step @ change)))
    return Solution(l2, w, float(gradient.abs().max()), iterations)


def _line_search(
    problem: LinearProblem, w: Tensor, direction: Tensor, along: Tensor, here: Iterate, first: float
) -> Trial:
    """Returns the first trial at which the slope is nearly 0, or else the lowest point that was tried.

    That is t = 0 if no step lowers the objective. along: [r] = x direction; first: the slope at t = 0. Each
    third trial bisects the bracket, so that it shrinks to the minimum of any convex loss, however steep.
    """
    pull = float(problem.penalty @ (w * direction))
    stiffness = float(problem.penalty @ direction.square())
    low, low_slope, high, high_slope = 0.0, first, float("inf"), 0.0
    t, best, lowest = 1.0, Trial(0.0, here.loss, here.by_value), here.loss
    if first >= 0:  # only rounding makes it so: there is nothing left to gain
        return best
    for number in range(1, TRIALS + 1):
        loss, by_value = problem.by_values(here.values + t * along)
        slope = float(by_value @ along) + pull + t * stiffness
        if abs(slope) <= FLAT * abs(first):
            return Trial(t, loss, by_value)
        height = loss + t * pull + 0.5 * t**2 * stiffness
        if height < lowest:
            best, lowest = Trial(t, loss, by_value), height
        if slope < 0:
            low, low_slope = t, slope
        else:
            high, high_slope = t, slope
        halve = number % 3 == 0 and high < float("inf")
        t = 0.5 * (low + high) if halve else _next_trial(low, low_slope, high, high_slope, first)
    return best


def _next_trial(low: float, low_slope: float, high: float, high_slope: float, first: float) -> float:
    """Returns the next t.

    It is the zero of the line through the two slopes, kept well inside the bracket if there is one.
    """
    if high == float("inf"):
        secant = low * first / (first - low_slope) if low_slope > first else 4 * low
        return min(max(secant, 1.5 * low), 4 * low)
    crossing = low + (high - low) * low_slope / (low_slope - high_slope)
    margin = 0.1 * (high - low)
    return min(max(crossing, low + margin), high - margin)


def _inverse_hessian(gradient: Tensor, pairs: Pairs, factor: Tensor) -> Tensor:
    """Returns the inverse Hessian times the gradient by the two loops of L-BFGS (Nocedal 1980)."""
    q, shares = gradient.clone(), []
    for step, change, scale in reversed(pairs):
        share = scale * float(step @ q)
        q -= share * change
        shares.append(share)
    r = _solve_factored(q, factor)
    for (step, change, scale), share in zip(pairs, reversed(shares), strict=True):
        r += (share - scale * float(change @ r)) * step
    return r


def _solve_factored(q: Tensor, factor: Tensor) -> Tensor:
    """Returns (L Lᵀ)⁻¹ q, computed in the precision of the factor."""
    inner = solve_triangular(factor, q[:, None].to(factor.dtype), upper=False)
    return solve_triangular(factor.T, inner, upper=True)[:, 0].to(q.dtype)


def _factor(matrix: Tensor, penalty: Tensor) -> Tensor:
    """Returns the Cholesky factor of matrix + penalty, [p, p]. An inexact one only costs iterations."""
    floor = FLOOR * max(float(matrix.diagonal().max()), FLOOR)
    matrix.diagonal().add_(penalty.to(matrix.dtype).clamp(min=floor))
    return cholesky(matrix)
