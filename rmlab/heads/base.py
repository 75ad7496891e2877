"""A head turns embeddings into rewards. Fitting (HeadFitter) and scoring (RewardHead) are kept apart:
a saved head is loaded and scored with no training code."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from rmlab.comparisons import Comparisons
from rmlab.heads.inputs import Compared, Prepared, check_inputs, mean_loss, prepare
from rmlab.heads.linear_head import LinearHead
from rmlab.heads.mlp_head import FittedLayers, MlpHead
from rmlab.heads.scoring import NormalisedHead, mean_zero_std_one
from rmlab.heads.standardise import Standardiser, row_blocks
from rmlab.heads.storage import broken, read_description
from rmlab.heads.trees_head import TreesHead, lightgbm

if TYPE_CHECKING:  # scoring a saved head must not wait for torch
    from rmlab.losses.base import Loss

__all__ = [
    "Compared",
    "FitData",
    "FitLog",
    "FittedLayers",
    "HeadFitter",
    "LinearHead",
    "MlpHead",
    "NormalisedHead",
    "Prepared",
    "RewardHead",
    "Standardiser",
    "TreesHead",
    "broken",
    "check_inputs",
    "lightgbm",
    "mean_loss",
    "mean_zero_std_one",
    "prepare",
    "read_description",
    "row_blocks",
]


@dataclass(frozen=True)
class FitData:
    """x: [m, d] float32 embeddings of the pool; train and validation compare rows of it.

    The prompts of train and of validation are disjoint.
    """

    x: np.ndarray
    train: Comparisons
    validation: Comparisons


@dataclass
class FitLog:
    """What happened in a fit: rows for the training log, whether it converged, what was chosen."""

    rows: list[dict[str, float | int | str]] = field(default_factory=list)  # step, epoch, split, loss
    converged: bool = True
    message: str = ""
    chosen: dict[str, float | int] = field(default_factory=dict)

    def add(self, step: int, epoch: int, split: str, loss: float) -> None:
        self.rows.append({"step": step, "epoch": epoch, "split": split, "loss": loss})


class RewardHead(Protocol):
    def score(self, x: np.ndarray) -> np.ndarray:
        """[m, d] embeddings -> [m] float64 rewards."""
        ...

    def raw(self, x: np.ndarray) -> np.ndarray:
        """[m, d] embeddings -> [m] float64 scores as fitted, whose differences are log-odds."""
        ...

    def normalised(self, reference_x: np.ndarray) -> RewardHead:
        """A copy whose rewards have mean 0 and standard deviation 1 on [m, d] reference responses."""
        ...

    def save(self, folder: Path) -> None: ...


class HeadFitter(Protocol):
    def fit(self, data: FitData, loss: Loss, seed: int) -> tuple[RewardHead, FitLog]: ...
