"""The second derivatives of a loss, by the scores and by the weights of a linear head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from rmlab.errors import ConfigError
from rmlab.heads.standardise import row_blocks

if TYPE_CHECKING:
    from rmlab.comparisons import Comparisons
    from rmlab.losses.base import Loss

ROUNDING = 1e-12  # of the largest eigenvalue of a comparison, or of the data: smaller is rounding
COMPARISONS_AT_ONCE = 1024


def score_hessians(scores: np.ndarray, comparisons: Comparisons, loss: Loss) -> np.ndarray:
    """[n, K] scores -> [n, K, K], the Hessian of each comparison's loss by its own scores.

    By differentiating twice, so any loss of single comparisons fits; what a loss detaches is held fixed.
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
    """[n, K, K] symmetric A -> [n, K, K] B with Bᵀ B = A, negative eigenvalues of A set to 0."""
    values, vectors = np.linalg.eigh(hessians)
    kept = np.where(values > ROUNDING * np.abs(values).max(axis=1, keepdims=True), values, 0.0)
    return np.sqrt(kept)[:, :, None] * vectors.transpose(0, 2, 1)


@dataclass(frozen=True, eq=False)
class Curvature:
    """The Hessian of sum(weight * loss) by w and b of the scores z · w + b.

    weight: [d, d]; cross: [d], by w and b; intercept: by b, 0 where the loss sees only differences.
    """

    weight: np.ndarray
    cross: np.ndarray
    intercept: float

    @classmethod
    def of(cls, z: np.ndarray, items: np.ndarray, hessians: np.ndarray, weight: np.ndarray) -> Curvature:
        """z: [r, d]; items: [n, K] rows of z; hessians: [n, K, K]; weight: [n].

        sum_i weight_i Z_iᵀ A_i Z_i = Fᵀ F with the rows F_i = sqrt(weight_i) B_i Z_i and A_i = B_iᵀ B_i,
        so the sum is positive semi-definite to the last bit of rounding.
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
        """[d, d], the precision of w when b, which has no prior, is left free: the Schur complement."""
        if self.intercept <= ROUNDING * np.trace(self.weight):
            return self.weight
        return self.weight - np.outer(self.cross, self.cross) / self.intercept
