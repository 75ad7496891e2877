"""A linear head under any loss, solved to its optimum by L-BFGS."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from rmlab.heads.base import (
    Compared,
    FitData,
    FitLog,
    LinearHead,
    Prepared,
    check_inputs,
    mean_loss,
    prepare,
)

if TYPE_CHECKING:
    from rmlab.losses.base import Loss


@dataclass(frozen=True, eq=False)
class Solution:
    """parameters: [d + 1], the weights and the intercept; gradient: its largest absolute entry there."""

    l2: float
    parameters: np.ndarray
    gradient: float
    iterations: int


def scores_of(parameters: np.ndarray, side: Compared) -> torch.Tensor:
    """X w + b of the compared items, [n, K] float64."""
    scores = side.x @ parameters[:-1] + parameters[-1]
    return torch.from_numpy(scores[side.items])


def data_loss(parameters: np.ndarray, side: Compared, loss: Loss) -> float:
    """sum(weight * loss) / sum(weight), without the penalty."""
    return float(mean_loss(loss, scores_of(parameters, side), side.comparisons))


def objective(parameters: np.ndarray, side: Compared, loss: Loss, l2: float) -> tuple[float, np.ndarray]:
    """f = sum(weight * loss(X w + b)) / sum(weight) + l2/2 |w|², and its gradient [d + 1].

    Autograd sees only the [n, K] scores, so any loss fits; from there df/dw = Xᵀ r + l2 w, where r sums
    the gradients of the scores of each row, and df/db is the sum of all (0 for a shift-invariant loss).
    """
    scores = scores_of(parameters, side).requires_grad_()
    value = mean_loss(loss, scores, side.comparisons)
    by_score = torch.autograd.grad(value, scores)[0].numpy()
    by_row = np.bincount(side.items.ravel(), weights=by_score.ravel(), minlength=len(side.x))
    w = parameters[:-1]
    # Within a comparison first: there the terms of a shift-invariant loss cancel, so b stays 0.
    by_intercept = by_score.sum(axis=1).sum()
    gradient = np.append(side.x.T @ by_row + l2 * w, by_intercept)
    return value.item() + 0.5 * l2 * float(w @ w), gradient


@dataclass(frozen=True)
class Linear:
    """min over w, b of sum(weight * loss(X w + b)) / sum(weight) + l2/2 |w|², the intercept b left free.

    l2: one strength, or several of which the one with the lowest validation loss is kept;
    tolerance: the largest absolute entry of the gradient at a converged solution;
    max_iterations: of L-BFGS, for each l2; standardise: features to mean 0 and standard deviation 1.
    """

    l2: float | list[float] = field(default_factory=lambda: [1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0])
    tolerance: float = 1e-6
    max_iterations: int = 500
    standardise: bool = True

    def __post_init__(self) -> None:
        if not self.strengths or not all(0 <= l2 < math.inf for l2 in self.strengths):
            raise ValueError(f"l2 must be one or more finite numbers >= 0, got {self.l2}")
        if self.tolerance <= 0:
            raise ValueError(f"tolerance must be > 0, got {self.tolerance}")
        if self.max_iterations < 1:
            raise ValueError(f"max_iterations must be >= 1, got {self.max_iterations}")

    @property
    def strengths(self) -> list[float]:
        """From the strongest: each solution starts the next, and of equal ones the simplest is kept."""
        given = self.l2 if isinstance(self.l2, list) else [self.l2]
        return sorted(set(given), reverse=True)

    def fit(self, data: FitData, loss: Loss, seed: int) -> tuple[LinearHead, FitLog]:
        """The problem is solved from zero, so the seed changes nothing."""
        several = len(self.strengths) > 1
        needed_for = "choosing between several values of l2 (or give one)" if several else ""
        check_inputs(data.x, data.train, data.validation, needed_for)
        prepared = prepare(data.x, data.train, data.validation, self.standardise, np.float64)
        log = FitLog()
        # One thread: the pools of torch, numpy and scipy, called in turn, stall each other tenfold or more.
        with threadpool_limits(1):
            best = self._best(prepared, loss, log)
        self._conclude(best, log)
        w, b = best.parameters[:-1], float(best.parameters[-1])
        return LinearHead(weight=w, intercept=b, standardiser=prepared.standardiser), log

    def _best(self, prepared: Prepared, loss: Loss, log: FitLog) -> Solution:
        """The solution with the lowest validation loss; the log gets a row for each l2 and split."""
        train, validation = prepared.train, prepared.validation
        start, step = np.zeros(train.x.shape[1] + 1), 0
        found: list[tuple[float, Solution]] = []
        for index, l2 in enumerate(self.strengths):
            solution = self._solve(start, train, loss, l2)
            start, step = solution.parameters, step + solution.iterations
            log.add(step, index, "train", data_loss(start, train, loss))
            validation_loss = data_loss(start, validation, loss) if len(validation.items) else math.nan
            if len(validation.items):
                log.add(step, index, "validation", validation_loss)
            found.append((validation_loss, solution))
        return min(found, key=lambda pair: pair[0])[1]

    def _solve(self, start: np.ndarray, train: Compared, loss: Loss, l2: float) -> Solution:
        # ftol=0: only the gradient says that the optimum is reached.
        options = {"gtol": self.tolerance, "ftol": 0.0, "maxiter": self.max_iterations, "maxcor": 20}
        found = minimize(
            objective, start, args=(train, loss, l2), jac=True, method="L-BFGS-B", options=options
        )
        return Solution(l2, found.x, float(np.abs(found.jac).max()), int(found.nit))

    def _conclude(self, best: Solution, log: FitLog) -> None:
        log.chosen = {"l2": best.l2, "iterations": best.iterations}
        log.converged = best.gradient <= self.tolerance
        if not log.converged:
            log.message = (
                f"linear head not converged at l2={best.l2:g}: gradient {best.gradient:.1e} is above "
                f"tolerance={self.tolerance:g} after {best.iterations} iterations; "
                "raise max_iterations, l2 or tolerance"
            )
