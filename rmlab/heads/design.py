"""The design matrix of a linear fit, with the fewest rows whose products with the weights give all scores."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import DTypeLike
from torch import Tensor

from rmlab.comparisons import Comparisons
from rmlab.heads.base import mean_loss
from rmlab.heads.fitted.base import ROWS_IN_CACHE, Standardiser, row_blocks

if TYPE_CHECKING:
    from rmlab.losses.base import Loss

PROBES = 16


@dataclass(frozen=True, eq=False)
class Design:
    """Comparisons with their design matrix x: [r, p], float32 or float64.

    items: [n, K] rows of x; None where each row of x is the difference of a pair. With an intercept the last
    column of x is 1; a loss of score differences needs none.
    """

    x: Tensor
    items: Tensor | None
    comparisons: Comparisons
    has_intercept: bool = False

    def values(self, parameters: Tensor) -> Tensor:
        """[p] float64 -> x @ parameters, [r] float64, the product in the precision of x."""
        return (self.x @ parameters.to(self.x.dtype)).double()

    def pull(self, by_value: Tensor) -> Tensor:
        """[r] gradient of the values -> [p] gradient of the parameters, xᵀ @ by_value."""
        return (self.x.T @ by_value.to(self.x.dtype)).double()

    def scores(self, values: Tensor) -> Tensor:
        """Returns the scores, [n, K]; for a row of differences the second is 0.

        values: [r] = x @ parameters.
        """
        if self.items is None:
            return torch.stack([values, torch.zeros_like(values)], dim=1)
        return values[self.items]

    def pull_back(self, by_score: Tensor) -> Tensor:
        """[n, K] gradient of the scores -> [r] gradient of the values."""
        if self.items is None:
            return by_score[:, 0]
        by_row = torch.zeros(len(self.x), dtype=by_score.dtype)
        return by_row.index_add_(0, self.items.ravel(), by_score.ravel())

    def loss(self, parameters: Tensor, loss: Loss) -> float:
        """Returns sum(weight * loss) / sum(weight), without a penalty. parameters: [p]."""
        return float(mean_loss(loss, self.scores(self.values(parameters)), self.comparisons))

    @cached_property
    def gram(self) -> Tensor:
        """The sum over items of weight x xᵀ / sum(weight), [p, p] float32."""
        weight = torch.from_numpy(self.comparisons.weight)
        by_row = self.pull_back(weight[:, None].expand(-1, self.comparisons.items.shape[1]))
        return self.weighted_gram(by_row / weight.sum())

    def weighted_gram(self, by_row: Tensor) -> Tensor:
        """Returns the sum over rows of by_row x xᵀ, [p, p] float32. by_row: [r], negative ones taken as 0."""
        root = by_row.clamp(min=0).sqrt()
        total = np.zeros((self.x.shape[1], self.x.shape[1]), dtype=np.float32)
        for block in row_blocks(len(self.x)):
            rows = (self.x[block] * root[block, None].to(self.x.dtype)).float().numpy()
            total += rows.T @ rows  # numpy uses the symmetry, which halves the work; torch does not
        return torch.from_numpy(total)


def is_shift_invariant(loss: Loss, comparisons: Comparisons) -> bool:
    """Returns, by its gradient, whether the loss ignores a constant added to all scores of a comparison."""
    some = comparisons.take(np.arange(min(PROBES, len(comparisons))))
    rng = torch.Generator().manual_seed(0)
    scores = torch.randn(some.items.shape, generator=rng, dtype=torch.float64).requires_grad_()
    gradient = torch.autograd.grad(mean_loss(loss, scores, some), scores)[0]
    return bool(gradient.sum(dim=1).abs().max() <= 1e-12 * (1 + gradient.abs().max()))


def make_design(
    x: np.ndarray,
    comparisons: Comparisons,
    standardiser: Standardiser,
    shifts: bool,
    dtype: DTypeLike = np.float64,
) -> Design:
    """Builds the design. x: [m, d] embeddings of the pool; shifts: the loss is shift invariant, as above."""
    if shifts and comparisons.items.shape[1] == 2:
        return Design(_differences(x, comparisons.items, standardiser, dtype), None, comparisons)
    rows, items = comparisons.distinct_rows()
    design = np.ones((len(rows), x.shape[1] + (not shifts)), dtype=dtype)
    for block in row_blocks(len(rows)):
        design[block, : x.shape[1]] = standardiser.apply(x[rows[block]], dtype)
    return Design(torch.from_numpy(design), torch.from_numpy(items), comparisons, has_intercept=not shifts)


def _differences(x: np.ndarray, items: np.ndarray, standardiser: Standardiser, dtype: DTypeLike) -> Tensor:
    """Returns (x of the preferred - x of the other) / scale, [n, d]."""
    design = np.empty((len(items), x.shape[1]), dtype=dtype)
    scale = standardiser.scale.astype(dtype)
    for block in row_blocks(len(items), ROWS_IN_CACHE):
        np.subtract(x[items[block, 0]], x[items[block, 1]], out=design[block], dtype=dtype)
        design[block] /= scale
    return torch.from_numpy(design)
