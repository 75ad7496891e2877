"""A head turns embeddings into rewards. Fitting (HeadFitter) and scoring (RewardHead) are kept apart:
a saved head is loaded and scored with no training code."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from rmlab.comparisons import Comparisons
from rmlab.losses.base import Loss


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

    def save(self, folder: Path) -> None: ...


class HeadFitter(Protocol):
    def fit(self, data: FitData, loss: Loss, seed: int) -> tuple[RewardHead, FitLog]: ...
