"""Fits a Bayesian linear head by the Laplace approximation."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from scipy.linalg import solve_triangular

from rmlab.errors import ConfigError, InputError
from rmlab.heads.base import Centre, FitData, FitLog, weighted
from rmlab.heads.fitted.base import row_blocks
from rmlab.heads.fitted.linear import LaplaceHead, LinearHead
from rmlab.heads.linear import STRENGTHS, Linear

if TYPE_CHECKING:
    from rmlab.comparisons import Comparisons
    from rmlab.losses.base import Loss

ROUNDING = 1e-12  # share of the largest eigenvalue below which one is rounding error
COMPARISONS_AT_ONCE = 1024


@dataclass(frozen=True)
class Laplace:
    """The posterior N(w*, H⁻¹) of the weights of a linear head; reward = mean - k * standard deviation.

    w* minimises f = sum(weight * loss) / W + l2/2 |w|², W = sum(weight). W f is a negative log posterior:
    the losses are minus log-likelihoods and the prior is N(0, I / (l2 W)). Its curvature at w* is
    H = l2 W I + sum_i weight_i Z_iᵀ A_i Z_i, where Z_i are the [K, d] standardised embeddings of comparison i
    and A_i is the [K, K] Hessian of its loss by its scores; for Bradley-Terry Z_iᵀ A_i Z_i = p(1-p) z zᵀ with
    z the winner minus the loser. An intercept that the loss sees has a flat prior and is integrated out.
    Source: Laplace's approximation as in MacKay 1992; Rasmussen & Williams 2006, section 3.4.

    l2: one strength > 0, or several of which the one with the lowest validation loss is kept; tolerance,
    max_iterations, standardise: as in head=linear; k: the number of standard deviations to subtract.
    """

    name: ClassVar[str] = "laplace"

    l2: float | list[float] = field(default_factory=lambda: list(STRENGTHS))
    tolerance: float = 1e-6
    max_iterations: int = 500
    standardise: bool = True
    k: float = 0.0
    centre: Centre = "none"

    def __post_init__(self) -> None:
        if not all(l2 > 0 for l2 in self._linear.strengths):
            raise ValueError(f"l2 must be > 0, for it is the precision of the prior; got {self.l2}")
        if not 0 <= self.k < math.inf:
            raise ValueError(f"k must be a finite number >= 0, got {self.k}")

    @property
    def _linear(self) -> Linear:
        """The fitter of w*."""
        return Linear(
            l2=self.l2,
            tolerance=self.tolerance,
            max_iterations=self.max_iterations,
            standardise=self.standardise,
        )

    def check_fits(self, loss: Loss, comparisons: Comparisons) -> None:
        """Raises ConfigError for a loss without a Hessian of its own scores."""
        self._linear.check_fits(loss, comparisons)
        n, k = comparisons.items.shape
        _check_curvature(score_hessians(np.linspace(-2.0, 3.0, n * k).reshape(n, k), comparisons, loss))

    def fit(self, data: FitData, loss: Loss, seed: int) -> tuple[LaplaceHead, FitLog]:
        """Fits the head. The seed is unused."""
        best, log = self._linear.fit(data, loss, seed)
        train = weighted(data.train)
        prior = float(log.chosen["l2"]) * float(train.weight.sum())
        log.chosen["prior_precision"] = prior
        rows, items = train.distinct_rows()
        z = best.standardiser.apply(data.x[rows], np.float64)
        precision = _precision(best, data.x[rows], z, items, train, loss)
        precision[np.diag_indices_from(precision)] += prior
        head = LaplaceHead(
            weight=best.weight,
            intercept=best.intercept,
            standardiser=best.standardiser,
            centre=z.mean(axis=0),
            factor=_inverse_factor(precision),
            k=self.k,
        )
        return head, log


def _precision(
    best: LinearHead, x: np.ndarray, z: np.ndarray, items: np.ndarray, train: Comparisons, loss: Loss
) -> np.ndarray:
    """Returns the precision of w by the comparisons alone, [d, d].

    x, z: [r, d] embeddings, z standardised.
    """
    hessians = score_hessians(best.raw(x)[items], train, loss)
    _check_curvature(hessians)
    return Curvature.of(z, items, hessians, train.weight).profiled()


def _check_curvature(hessians: np.ndarray) -> None:
    if not hessians.any():
        raise ConfigError(
            "head=laplace needs a loss with curvature, or the uncertainty is the prior's; "
            "set loss=bradley_terry or head=linear"
        )


def _inverse_factor(precision: np.ndarray) -> np.ndarray:
    """Returns L⁻¹ with H = L Lᵀ, so that zᵀ H⁻¹ z = |L⁻¹ z|²."""
    try:
        factor = np.linalg.cholesky(precision)
    except np.linalg.LinAlgError:
        raise InputError("the posterior has no Cholesky factor: head.l2 is too small; raise it") from None
    return solve_triangular(factor, np.eye(len(factor)), lower=True)


def score_hessians(scores: np.ndarray, comparisons: Comparisons, loss: Loss) -> np.ndarray:
    """Returns the Hessian of each comparison's loss by its own scores, [n, K, K]. scores: [n, K].

    The loss is differentiated twice, so any loss of single comparisons will do; detached values are
    constants.
    """
    at = torch.from_numpy(scores).requires_grad_()
    losses = loss(at, comparisons)
    if losses.shape != (len(scores),):
        raise ConfigError(
            "head=laplace needs a loss of single comparisons; set loss=bradley_terry or head=linear"
        )
    gradient = torch.autograd.grad(losses.sum(), at, create_graph=True)[0]
    if not gradient.requires_grad:  # a piecewise linear loss
        return np.zeros((*scores.shape, scores.shape[1]))
    rows = [
        torch.autograd.grad(gradient[:, k].sum(), at, retain_graph=True)[0] for k in range(scores.shape[1])
    ]
    return torch.stack(rows, dim=1).numpy()


def square_roots(hessians: np.ndarray) -> np.ndarray:
    """Returns B with Bᵀ B = A for symmetric A, [n, K, K], whose negative eigenvalues are set to 0."""
    values, vectors = np.linalg.eigh(hessians)
    kept = np.where(values > ROUNDING * np.abs(values).max(axis=1, keepdims=True), values, 0.0)
    return np.sqrt(kept)[:, :, None] * vectors.transpose(0, 2, 1)


@dataclass(frozen=True, eq=False)
class Curvature:
    """The Hessian of sum(weight * loss) by w and b of the scores z · w + b.

    weight: [d, d], by w; cross: [d], by w and b; intercept: by b, 0 for a loss of score differences.
    """

    weight: np.ndarray
    cross: np.ndarray
    intercept: float

    @classmethod
    def of(cls, z: np.ndarray, items: np.ndarray, hessians: np.ndarray, weight: np.ndarray) -> Curvature:
        """Computes it from z: [r, d]; items: [n, K] rows of z; hessians: [n, K, K]; weight: [n].

        sum_i weight_i Z_iᵀ A_i Z_i = Fᵀ F with the rows F_i = sqrt(weight_i) B_i Z_i and A_i = B_iᵀ B_i,
        so the sum is positive semi-definite but for rounding.
        """
        d = z.shape[1]
        total, cross, intercept = np.zeros((d, d)), np.zeros(d), 0.0
        roots = np.sqrt(weight)[:, None, None] * square_roots(hessians)
        for block in row_blocks(len(items), COMPARISONS_AT_ONCE):
            used = roots[block].any(axis=2)  # [b, K]: a shift-invariant loss of a pair has one row, not two
            rows = (roots[block] @ z[items[block]])[used]
            ones = roots[block].sum(axis=2)[used]
            total += rows.T @ rows
            cross += rows.T @ ones
            intercept += float(ones @ ones)
        return cls(total, cross, intercept)

    def profiled(self) -> np.ndarray:
        """Returns the precision of w, [d, d].

        It is the Schur complement, which integrates out b under a flat prior.
        """
        if self.intercept <= ROUNDING * np.trace(self.weight):
            return self.weight
        return self.weight - np.outer(self.cross, self.cross) / self.intercept
