"""The protocol of fitters of heads, the data of a fit, its preparation, and its log."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import DTypeLike

from rmlab.comparisons import Comparisons
from rmlab.errors import ConfigError, InputError, RmlabError
from rmlab.heads.fitted.base import NormalisedHead, Standardiser, row_blocks
from rmlab.heads.fitted.centred import CentredHead

if TYPE_CHECKING:
    from torch import Tensor

    from rmlab.losses.base import Loss

Centre = Literal["none", "prompt"]  # the mean to subtract from embeddings before fitting


@dataclass(frozen=True)
class FitData:
    """The data of a fit. x: [m, d] float32 embeddings of the pool, whose rows train and validation compare.

    The prompts of train and validation are disjoint. kept: what a fitter may leave to later fits on the same
    x, by a key of its own; another x comes with another dict.
    """

    x: np.ndarray
    train: Comparisons
    validation: Comparisons
    kept: dict[Any, Any] = field(default_factory=dict)


@dataclass
class FitLog:
    """The record of a fit: rows of the training log, whether it converged, and the settings it chose.

    message: why it did not converge; notes: other remarks, such as a choice at the edge of its grid.
    """

    rows: list[dict[str, float | int | str]] = field(default_factory=list)  # step, epoch, split, loss
    converged: bool = True
    message: str = ""
    chosen: dict[str, float | int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def said(self) -> str:
        """The message and the notes on one line, "" if there are none."""
        return "; ".join([self.message] * bool(self.message) + self.notes)

    def add(self, step: int, epoch: float, split: str, loss: float) -> None:
        self.rows.append({"step": step, "epoch": epoch, "split": split, "loss": loss})


# A head that scores responses: by their embeddings, or by those less the mean of the prompt.
RewardHead = NormalisedHead | CentredHead


class HeadFitter(Protocol):
    """A recipe for fitting a head.

    A fitter with an attribute `centre = "prompt"` is given embeddings from which the mean over all responses
    to the same prompt was subtracted, and its head scores such differences. `needs` names optional packages.
    A method `check_fits(loss, comparisons)` raises ConfigError where the head does not fit the loss or the
    comparisons, of which a few are given before anything runs. `has_features = False` marks heads that
    selection cannot use.
    """

    def fit(self, data: FitData, loss: Loss, seed: int) -> tuple[NormalisedHead, FitLog]:
        """Fits a head and returns it with the record of the fit."""
        ...


@dataclass(frozen=True, eq=False)
class Compared:
    """Comparisons with the embeddings that they use. x: [r, d] standardised; items: [n, K] rows of this x."""

    x: np.ndarray
    items: np.ndarray
    comparisons: Comparisons


@dataclass(frozen=True, eq=False)
class Prepared:
    """Both splits, standardised by the training rows, without comparisons of weight 0."""

    standardiser: Standardiser
    train: Compared
    validation: Compared


def weighted(comparisons: Comparisons) -> Comparisons:
    """Returns the comparisons with a weight above 0."""
    return comparisons.take(np.flatnonzero(comparisons.weight))


def prepare(data: FitData, standardise: bool, dtype: DTypeLike) -> Prepared:
    """Standardises the embeddings that the comparisons of each split use."""
    x, train, validation = data.x, weighted(data.train), weighted(data.validation)
    standardiser = Standardiser.of(x, train.items, standardise)
    return Prepared(
        standardiser, _compared(x, train, standardiser, dtype), _compared(x, validation, standardiser, dtype)
    )


def _compared(
    x: np.ndarray, comparisons: Comparisons, standardiser: Standardiser, dtype: DTypeLike
) -> Compared:
    rows, items = comparisons.distinct_rows()
    return Compared(standardiser.apply(x[rows], dtype), items, comparisons)


def mean_loss(loss: Loss, scores: Tensor, comparisons: Comparisons) -> Tensor:
    """Returns sum(weight * loss) / sum(weight), or the value of a set loss; a scalar. scores: [n, K]."""
    losses = loss(scores, comparisons)
    if losses.ndim == 0:
        return losses
    weight = scores.new_tensor(comparisons.weight)
    if losses.shape != weight.shape:
        raise RmlabError(
            f"the loss returned shape {list(losses.shape)}, not {list(weight.shape)}; "
            "a loss must return one value for each comparison, or one for the whole set"
        )
    return (weight * losses).sum() / weight.sum()


def check_inputs(data: FitData, loss: Loss, validation_for: str = "", penalised: bool = True) -> None:
    """Raises an error for data on which no head can be fitted.

    validation_for: what the fitter needs validation comparisons for, if it does; penalised: whether it has
    L2.
    """
    x, train, validation = data.x, data.train, data.validation
    if x.ndim != 2:
        raise InputError(f"embeddings must be [m, d], got shape {list(x.shape)}; run embed again")
    if len(train) == 0:
        raise InputError("no training comparisons; annotate some, or keep more prompts for training")
    if validation_for and len(validation) == 0:
        raise InputError(f"no validation comparisons for {validation_for}; keep some prompts for validation")
    check_penalty(loss, penalised)
    for split, comparisons in (("training", train), ("validation", validation)):
        if len(comparisons):
            _check_comparisons(x, comparisons, split)
    _check_classes(train)


def check_penalty(loss: Loss, penalised: bool) -> None:
    """Raises ConfigError for a loss without a lower bound under a head without L2."""
    if getattr(loss, "unbounded", False) and not penalised:
        raise ConfigError("this loss needs a penalty to have a minimum; set head.l2 or head.weight_decay > 0")


def _check_classes(train: Comparisons) -> None:
    if train.kind == "unpaired" and np.ptp(train.share[train.weight > 0]) == 0:
        found = "good" if train.share[0] else "not good"
        raise InputError(f"all training responses were found {found}; a head needs answers of both kinds")


def _check_comparisons(x: np.ndarray, comparisons: Comparisons, split: str) -> None:
    rows, weight = np.unique(comparisons.items), comparisons.weight
    if rows[0] < 0 or rows[-1] >= len(x):
        raise InputError(f"{split} comparisons name rows that the embeddings lack; annotate again")
    if not (np.isfinite(weight).all() and (weight >= 0).all() and weight.sum() > 0):
        raise InputError(f"the weights of the {split} comparisons must be finite, >= 0 and not all 0")
    for block in row_blocks(len(rows)):
        if not np.isfinite(x[rows[block]]).all():
            raise InputError(f"embeddings of {split} responses hold NaN or infinity; run embed again")
