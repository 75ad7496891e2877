"""Fits a linear head under any loss to its optimum."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from rmlab.comparisons import Comparisons
from rmlab.heads.base import Centre, FitData, FitLog, check_inputs, check_penalty, weighted
from rmlab.heads.design import Design, is_shift_invariant, make_design
from rmlab.heads.fitted.base import Standardiser
from rmlab.heads.fitted.linear import LinearHead
from rmlab.heads.solve import LinearProblem, Solution, solve
from rmlab.losses.base import Kinked

if TYPE_CHECKING:
    from rmlab.losses.base import Loss

FLOAT32_TOLERANCE = 1e-6  # from here on float32 products are exact enough
STRENGTHS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
ROUNDING = 1e-3  # width of a rounded kink; it raises the minimum of the hinge loss by an eighth at most
LEARNT = 0.01  # share by which training must lower the loss of zero weights, or the penalty leaves no head


@dataclass(frozen=True)
class Linear:
    """min over w, b of sum(weight * loss(X w + b)) / sum(weight) + l2/2 |w|², the intercept b left free.

    l2: one strength, or several of which the one with the lowest validation loss is kept;
    tolerance: the largest absolute entry of the gradient at a converged solution;
    max_iterations: of L-BFGS, for each l2; standardise: features to mean 0 and standard deviation 1;
    patience: going from strong to weak l2, stop after this many strengths in a row without a lower validation
    loss; null: try all. Strengths so large that the weights are nearly 0 do not count.
    A loss with kinks is minimised in its `rounded` form, since on a kink the gradient does not become small.
    """

    name: ClassVar[str] = "linear"

    l2: float | list[float] = field(default_factory=lambda: list(STRENGTHS))
    tolerance: float = 1e-6
    max_iterations: int = 500
    standardise: bool = True
    patience: int | None = 3
    centre: Centre = "none"

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
        """The strengths in descending order.

        Each solution starts the next, and among equals the first is kept.
        """
        given = self.l2 if isinstance(self.l2, list) else [self.l2]
        return sorted(set(given), reverse=True)

    def check_fits(self, loss: Loss, comparisons: Comparisons) -> None:
        """Raises ConfigError for a loss that needs L2 where there is none."""
        check_penalty(loss, min(self.strengths) > 0)

    def fit(self, data: FitData, loss: Loss, seed: int) -> tuple[LinearHead, FitLog]:
        """Fits the head. The seed is unused, since the solver always starts from zero."""
        several = len(self.strengths) > 1
        needed_for = "choosing between several values of l2 (or give one)" if several else ""
        check_inputs(data, loss, needed_for, penalised=min(self.strengths) > 0)
        train, validation = weighted(data.train), weighted(data.validation)
        standardiser = Standardiser.of(data.x, train.items, self.standardise)
        shifts = is_shift_invariant(loss, train)
        log = FitLog()
        dtype = np.float32 if self.tolerance >= FLOAT32_TOLERANCE else np.float64
        sides = [make_design(data.x, c, standardiser, shifts, dtype) for c in (train, validation)]
        _ = sides[0].gram  # computed here once for all strengths, with all threads
        # The thread pools of torch and BLAS, used in turn, stall each other, so only torch's is left on.
        with threadpool_limits(1, user_api="blas"):
            best = self._best(sides[0], sides[1], loss, log)
        self._conclude(best, log)
        w, b = best.parameters[: data.x.shape[1]], 0.0 if shifts else float(best.parameters[-1])
        return LinearHead(weight=w.numpy(), intercept=b, standardiser=standardiser), log

    def _best(self, train: Design, validation: Design, loss: Loss, log: FitLog) -> Solution:
        """Returns the solution with the lowest validation loss and logs the loss of each l2 and split."""
        smooth = loss.rounded(ROUNDING) if isinstance(loss, Kinked) else loss
        start, step = torch.zeros(train.x.shape[1], dtype=torch.float64), 0
        unlearnt = train.loss(start, loss)
        learnt = unlearnt - LEARNT * abs(unlearnt)
        found: list[tuple[float, Solution]] = []
        idle = 0
        for index, l2 in enumerate(self.strengths):
            problem = LinearProblem(train, smooth, _penalty(train, l2))
            solution = solve(start, problem, l2, self.tolerance, self.max_iterations)
            start, step = solution.parameters, step + solution.iterations
            train_loss = train.loss(start, loss)
            log.add(step, index, "train", train_loss)
            validation_loss = math.nan
            if len(validation.comparisons):
                validation_loss = validation.loss(start, loss)
                log.add(step, index, "validation", validation_loss)
            found.append((validation_loss, solution))
            best = min(range(len(found)), key=lambda i: found[i][0])
            idle = 0 if best == index else idle + (train_loss <= learnt)
            if self.patience is not None and idle >= self.patience:
                break
        return found[best][1]

    def _conclude(self, best: Solution, log: FitLog) -> None:
        """Logs the choice and whether it converged."""
        log.chosen = {"l2": best.l2, "iterations": best.iterations}
        log.converged = best.gradient <= self.tolerance
        if not log.converged:
            advice = "raise head.max_iterations, head.l2 or head.tolerance"
            if best.iterations < self.max_iterations:
                advice = "no step lowered the loss further; raise head.l2 or head.tolerance"
            log.message = (
                f"linear head not converged at l2={best.l2:g}: gradient {best.gradient:.1e} is above "
                f"tolerance={self.tolerance:g} after {best.iterations} iterations; {advice}"
            )
        log.notes.extend(self._at_an_edge(best.l2))

    def _at_an_edge(self, l2: float) -> list[str]:
        """Returns a note if the best strength is at an end of the grid, beyond which a better one may lie."""
        largest, smallest = self.strengths[0], self.strengths[-1]
        if l2 == largest > smallest:
            return [f"l2={l2:g} is the largest of head.l2; give larger ones"]
        if largest > l2 == smallest > 0:
            return [f"l2={l2:g} is the smallest of head.l2; give smaller ones"]
        return []


def _penalty(design: Design, l2: float) -> Tensor:
    """Returns the penalty of each parameter, [p]: l2, and 0 for the intercept."""
    penalty = torch.full((design.x.shape[1],), l2, dtype=torch.float64)
    if design.has_intercept:
        penalty[-1] = 0.0
    return penalty
