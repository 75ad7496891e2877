"""A linear head under any loss, solved to its optimum."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from rmlab.heads.base import FitData, FitLog, LinearHead, check_inputs, weighted
from rmlab.heads.design import Design, is_shift_invariant, make_design
from rmlab.heads.solve import Problem, Solution, solve
from rmlab.heads.standardise import Standardiser

if TYPE_CHECKING:
    from rmlab.losses.base import Loss

FLOAT32_TOLERANCE = 1e-6  # rounding of products in float32 stays well below it


@dataclass(frozen=True)
class Linear:
    """min over w, b of sum(weight * loss(X w + b)) / sum(weight) + l2/2 |w|², the intercept b left free.

    l2: one strength, or several of which the one with the lowest validation loss is kept;
    tolerance: the largest absolute entry of the gradient at a converged solution;
    max_iterations: of L-BFGS, for each l2; standardise: features to mean 0 and standard deviation 1;
    patience: strengths in a row, from the strongest down, without a lower validation loss, after which the
    weaker ones are not tried; null: all are.
    """

    l2: float | list[float] = field(default_factory=lambda: [1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0])
    tolerance: float = 1e-6
    max_iterations: int = 500
    standardise: bool = True
    patience: int | None = 2

    def __post_init__(self) -> None:
        if not self.strengths or not all(0 <= l2 < math.inf for l2 in self.strengths):
            raise ValueError(f"l2 must be one or more finite numbers >= 0, got {self.l2}")
        if self.tolerance <= 0:
            raise ValueError(f"tolerance must be > 0, got {self.tolerance}")
        for name in ("max_iterations", "patience"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1, got {getattr(self, name)}")

    @property
    def strengths(self) -> list[float]:
        """From the strongest: each solution starts the next, and of equal ones the simplest is kept."""
        given = self.l2 if isinstance(self.l2, list) else [self.l2]
        return sorted(set(given), reverse=True)

    def fit(self, data: FitData, loss: Loss, seed: int) -> tuple[LinearHead, FitLog]:
        """The problem is solved from zero, so the seed changes nothing."""
        several = len(self.strengths) > 1
        needed_for = "choosing between several values of l2 (or give one)" if several else ""
        check_inputs(data, loss, needed_for, penalised=min(self.strengths) > 0)
        train, validation = weighted(data.train), weighted(data.validation)
        standardiser = Standardiser.of(data.x, train.items, self.standardise)
        shifts = is_shift_invariant(loss, train)
        log = FitLog()
        dtype = np.float32 if self.tolerance >= FLOAT32_TOLERANCE else np.float64
        sides = [make_design(data.x, c, standardiser, shifts, dtype) for c in (train, validation)]
        _ = sides[0].gram  # with all threads, once for all strengths
        # The pools of torch, numpy and scipy, called in turn, would stall each other: torch's alone works.
        with threadpool_limits(1, user_api="blas"):
            best = self._best(sides[0], sides[1], loss, log)
        self._conclude(best, log)
        w, b = best.parameters[: data.x.shape[1]], 0.0 if shifts else float(best.parameters[-1])
        return LinearHead(weight=w.numpy(), intercept=b, standardiser=standardiser), log

    def _best(self, train: Design, validation: Design, loss: Loss, log: FitLog) -> Solution:
        """The solution with the lowest validation loss; the log gets a row for each l2 and split."""
        start, step = torch.zeros(train.x.shape[1], dtype=torch.float64), 0
        found: list[tuple[float, Solution]] = []
        for index, l2 in enumerate(self.strengths):
            problem = Problem(train, loss, _penalty(train, l2))
            solution = solve(start, problem, l2, self.tolerance, self.max_iterations)
            start, step = solution.parameters, step + solution.iterations
            log.add(step, index, "train", train.loss(start, loss))
            validation_loss = math.nan
            if len(validation.comparisons):
                validation_loss = validation.loss(start, loss)
                log.add(step, index, "validation", validation_loss)
            found.append((validation_loss, solution))
            best = min(range(len(found)), key=lambda i: found[i][0])
            if self.patience is not None and index - best >= self.patience:
                break
        return found[best][1]

    def _conclude(self, best: Solution, log: FitLog) -> None:
        log.chosen = {"l2": best.l2, "iterations": best.iterations}
        log.converged = best.gradient <= self.tolerance
        if not log.converged:
            advice = "raise max_iterations, l2 or tolerance"
            if best.iterations < self.max_iterations:
                advice = "no step lowered the loss further, as at the kinks of hinge; raise l2 or tolerance"
            log.message = (
                f"linear head not converged at l2={best.l2:g}: gradient {best.gradient:.1e} is above "
                f"tolerance={self.tolerance:g} after {best.iterations} iterations; {advice}"
            )


def _penalty(design: Design, l2: float) -> Tensor:
    """[p]: l2 for each weight, nothing for the intercept."""
    penalty = torch.full((design.x.shape[1],), l2, dtype=torch.float64)
    if design.has_intercept:
        penalty[-1] = 0.0
    return penalty
