"""A head turns embeddings into rewards. Fitting (HeadFitter) and scoring (RewardHead) are kept apart:
a saved head is loaded and scored with no training code."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from rmlab.heads.centred_head import CentredHead
from rmlab.heads.ensemble_head import Combine, EnsembleHead, check_combination
from rmlab.heads.inputs import Centre, Compared, FitData, Prepared, check_inputs, mean_loss, prepare, weighted
from rmlab.heads.laplace_head import LaplaceHead
from rmlab.heads.linear_head import LinearHead
from rmlab.heads.mlp_head import FittedLayers, MlpHead
from rmlab.heads.scoring import NormalisedHead, mean_zero_std_one
from rmlab.heads.standardise import Standardiser, row_blocks
from rmlab.heads.storage import broken, read_description
from rmlab.heads.trees_head import TreesHead, lightgbm
from rmlab.heads.weighted_head import WeightedHead

if TYPE_CHECKING:  # scoring a saved head must not wait for torch
    from rmlab.losses.base import Loss

__all__ = [
    "Centre",
    "CentredHead",
    "Combine",
    "Compared",
    "EnsembleHead",
    "FitData",
    "FitLog",
    "FittedLayers",
    "HeadFitter",
    "LaplaceHead",
    "LinearHead",
    "MlpHead",
    "NormalisedHead",
    "Prepared",
    "RewardHead",
    "Standardiser",
    "TreesHead",
    "WeightedHead",
    "broken",
    "check_combination",
    "check_inputs",
    "lightgbm",
    "mean_loss",
    "mean_zero_std_one",
    "prepare",
    "read_description",
    "row_blocks",
    "weighted",
]


@dataclass
class FitLog:
    """What happened in a fit: rows for the training log, whether it converged, what was chosen.

    message: why it did not converge; notes: what else to know, such as a choice at the edge of its grid.
    """

    rows: list[dict[str, float | int | str]] = field(default_factory=list)  # step, epoch, split, loss
    converged: bool = True
    message: str = ""
    chosen: dict[str, float | int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def said(self) -> str:
        """The message and the notes as one line; nothing if there are none."""
        return "; ".join([self.message] * bool(self.message) + self.notes)

    def add(self, step: int, epoch: float, split: str, loss: float) -> None:
        self.rows.append({"step": step, "epoch": epoch, "split": split, "loss": loss})


class RewardHead(Protocol):
    @property
    def temperature(self) -> float:
        """P(a is preferred to b) = sigma((raw_a - raw_b) / temperature)."""
        ...

    def score(self, x: np.ndarray) -> np.ndarray:
        """[m, d] embeddings -> [m] float64 rewards."""
        ...

    def raw(self, x: np.ndarray) -> np.ndarray:
        """[m, d] embeddings -> [m] float64 scores as fitted: differences by the temperature are log-odds."""
        ...

    def score_and_raw(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Both in one pass."""
        ...

    def features(self, x: np.ndarray) -> np.ndarray:
        """[m, d] embeddings -> [m, f], what the last layer weighs; ConfigError if there is none."""
        ...

    def normalised(self, reference_x: np.ndarray) -> RewardHead:
        """A copy whose rewards have mean 0 and standard deviation 1 on [m, d] reference responses."""
        ...

    def tempered(self, temperature: float) -> RewardHead:
        """A copy with this temperature."""
        ...

    def save(self, folder: Path) -> None: ...


class HeadFitter(Protocol):
    """A fitter with `centre = "prompt"` is given embeddings from which the mean over all responses to the
    same prompt was subtracted, and its head scores such differences; one without the attribute is not."""

    def fit(self, data: FitData, loss: Loss, seed: int) -> tuple[RewardHead, FitLog]: ...
