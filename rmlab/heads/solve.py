"""The optimum of a penalised loss over the weights of a linear head: preconditioned L-BFGS.

Why not a library's: along a direction the scores are x (w + t d) = x w + t x d, so a line search needs no
further product with x; an iteration costs two products, in float32 where the tolerance allows it. Searching
by slopes instead of values, which rounding blurs near the optimum, makes float32 enough.
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

CURVATURE = 0.25  # of the logistic loss at a margin of 0, its largest
FLOOR = 1e-5  # of the largest diagonal entry: keeps the preconditioner positive definite in float32
MEMORY = 20
RENEWAL = 40  # iterations with one guess at the inverse Hessian
TRIALS, FLAT = 30, 0.1  # of a line search: steps tried, and the share of the first slope that is flat enough
STUCK = 1e-13  # a step of less than this share of the weights is none

Pairs = deque[tuple[Tensor, Tensor, float]]  # step, change of the gradient, 1 / their product


@dataclass(frozen=True, eq=False)
class Solution:
    """parameters: [p]; gradient: its largest absolute entry there."""

    l2: float
    parameters: Tensor
    gradient: float
    iterations: int


class Iterate(NamedTuple):
    """values: [r] = x w; loss: there, without the penalty; by_value: [r], its gradient by the values."""

    values: Tensor
    loss: float
    by_value: Tensor


class Trial(NamedTuple):
    """A step of t along a direction, and the loss and its gradient by the values that belong to it."""

    t: float
    loss: float
    by_value: Tensor


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

    def curvature(self, values: Tensor) -> Tensor:
        """values: [r] -> the second derivatives of the loss by them, [r]; each row is one comparison."""
        values = values.clone().requires_grad_()
        value = mean_loss(self.loss, self.design.scores(values), self.design.comparisons)
        slope = torch.autograd.grad(value, values, create_graph=True)[0]
        return torch.autograd.grad(slope.sum(), values)[0] if slope.requires_grad else torch.zeros_like(slope)

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
    embeddings take hundreds of iterations without it and some ten with it. After each RENEWAL iterations,
    which smooth losses hardly need, the guess is the Hessian where the search is: a rounded kink bends a
    loss much more there than elsewhere.
    """
    factor = _factor(CURVATURE * problem.design.gram, problem.penalty)
    w, pairs, iterations = start.clone(), deque(maxlen=MEMORY), 0  # type: tuple[Tensor, Pairs, int]
    values = problem.design.values(w)
    here = Iterate(values, *problem.by_values(values))
    gradient = problem.gradient(w, here.by_value)
    while float(gradient.abs().max()) > tolerance and iterations < most:
        if iterations and iterations % RENEWAL == 0 and problem.design.items is None:
            factor = _factor(problem.design.weighed_gram(problem.curvature(here.values)), problem.penalty)
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
    problem: Problem, w: Tensor, direction: Tensor, along: Tensor, here: Iterate, first: float
) -> Trial:
    """The first trial at which the slope is nearly 0; when the trials run out, the lowest point of the line
    that was seen, which is t = 0 if no step lowers the objective.

    along: [r] = x direction; first: the slope at t = 0. Each third trial halves the bracket, so that it
    shrinks to the minimum of any convex loss, be its slope as steep there as it may.
    """
    pull = float(problem.penalty @ (w * direction))
    stiffness = float(problem.penalty @ direction.square())
    low, low_slope, high, high_slope = 0.0, first, float("inf"), 0.0
    t, best, lowest = 1.0, Trial(0.0, here.loss, here.by_value), here.loss
    if first >= 0:  # by rounding alone: nothing is left to gain
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
        t = 0.5 * (low + high) if halve else _next(low, low_slope, high, high_slope, first)
    return best


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


def _factor(matrix: Tensor, penalty: Tensor) -> Tensor:
    """[p, p] lower triangle; any would do, a poor one only takes more iterations."""
    floor = FLOOR * max(float(matrix.diagonal().max()), FLOOR)
    matrix.diagonal().add_(penalty.to(matrix.dtype).clamp(min=floor))
    return cholesky(matrix)
