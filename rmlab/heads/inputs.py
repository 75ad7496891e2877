"""What a fit reads: checked, standardised, and no more rows of the pool than are compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import DTypeLike

from rmlab.comparisons import Comparisons
from rmlab.errors import InputError, RmlabError
from rmlab.heads.standardise import Standardiser, row_blocks

if TYPE_CHECKING:  # scoring a saved head must not wait for torch
    from torch import Tensor

    from rmlab.losses.base import Loss


@dataclass(frozen=True, eq=False)
class Compared:
    """The rows that comparisons use. x: [r, d] standardised; items: [n, K] rows of this x."""

    x: np.ndarray
    items: np.ndarray
    comparisons: Comparisons


@dataclass(frozen=True, eq=False)
class Prepared:
    """Both splits, standardised by the training rows alone; comparisons of weight 0 are left out."""

    standardiser: Standardiser
    train: Compared
    validation: Compared


def prepare(
    x: np.ndarray, train: Comparisons, validation: Comparisons, standardise: bool, dtype: DTypeLike
) -> Prepared:
    """x: [m, d] embeddings of the pool."""
    train = train.take(np.flatnonzero(train.weight))
    validation = validation.take(np.flatnonzero(validation.weight))
    standardiser = Standardiser.fit(x, train.items) if standardise else Standardiser.identity(x.shape[1])
    return Prepared(
        standardiser, _compared(x, train, standardiser, dtype), _compared(x, validation, standardiser, dtype)
    )


def _compared(
    x: np.ndarray, comparisons: Comparisons, standardiser: Standardiser, dtype: DTypeLike
) -> Compared:
    rows, items = np.unique(comparisons.items, return_inverse=True)
    local = items.reshape(comparisons.items.shape)
    return Compared(standardiser.apply(x[rows], dtype), local, comparisons)


def mean_loss(loss: Loss, scores: Tensor, comparisons: Comparisons) -> Tensor:
    """sum(weight * loss) / sum(weight), a scalar; scores: [n, K]."""
    losses = loss(scores, comparisons)
    weight = scores.new_tensor(comparisons.weight)
    if losses.shape != weight.shape:
        raise RmlabError(
            f"the loss returned shape {list(losses.shape)}, not {list(weight.shape)}; "
            "a loss must return one value for each comparison"
        )
    return (weight * losses).sum() / weight.sum()


def check_inputs(
    x: np.ndarray, train: Comparisons, validation: Comparisons, validation_for: str = ""
) -> None:
    """Refuses what no head can be fitted on. validation_for: what validation comparisons are needed for."""
    if x.ndim != 2:
        raise InputError(f"embeddings must be [m, d], got shape {list(x.shape)}; run embed again")
    if len(train) == 0:
        raise InputError("no training comparisons; annotate some, or keep more prompts for training")
    if validation_for and len(validation) == 0:
        raise InputError(f"no validation comparisons for {validation_for}; keep some prompts for validation")
    for split, comparisons in (("training", train), ("validation", validation)):
        if len(comparisons):
            _check_comparisons(x, comparisons, split)


def _check_comparisons(x: np.ndarray, comparisons: Comparisons, split: str) -> None:
    rows, weight = np.unique(comparisons.items), comparisons.weight
    if rows[0] < 0 or rows[-1] >= len(x):
        raise InputError(f"{split} comparisons name rows that the embeddings lack; annotate again")
    if not (np.isfinite(weight).all() and (weight >= 0).all() and weight.sum() > 0):
        raise InputError(f"the weights of the {split} comparisons must be finite, >= 0 and not all 0")
    for block in row_blocks(len(rows)):
        if not np.isfinite(x[rows[block]]).all():
            raise InputError(f"embeddings of {split} responses hold NaN or infinity; run embed again")
