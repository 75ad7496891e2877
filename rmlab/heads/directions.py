"""Fits a linear head as a mixture of the principal directions in which the responses of pairs differ."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from scipy.linalg import eigh
from scipy.special import entr, softmax

from rmlab.comparisons import Comparisons
from rmlab.errors import ConfigError, InputError
from rmlab.heads.base import Centre, Compared, FitData, FitLog, check_inputs, mean_loss, prepare
from rmlab.heads.fitted.base import row_blocks
from rmlab.heads.fitted.linear import LinearHead

if TYPE_CHECKING:
    from rmlab.losses.base import Loss

ROUNDING = 1e-12  # share of the total variance below which that of a direction is rounding error


@dataclass(frozen=True)
class Directions:
    """reward = sum_c π_c v_c · φ(x), π_c ∝ exp(-temperature * L_c), with L_c the mean loss of direction v_c.

    φ: standardised embeddings; v_c: see `candidates`. L_c is a mean over training comparisons, so the effect
    of a temperature does not depend on their number; weights by the sum of the losses of n comparisons, as
    for one user's few answers, are those of temperature n. High temperatures keep the best direction only.
    Source: Luo et al. 2025, "Rethinking Diverse Human Preference Learning through Principal Component
    Analysis" (arXiv 2502.13131), with the Bradley-Terry loss; the mean difference is added here.

    components: the number of principal components, each used with both signs; temperature: one, or several of
    which the one with the lowest validation loss is kept; annotator: the one whose comparisons alone set the
    weights (and choose the temperature), while the directions come from all; null: all set both; standardise:
    features to mean 0 and standard deviation 1.
    """

    name: ClassVar[str] = "directions"

    components: int = 20
    temperature: float | list[float] = field(default_factory=lambda: [1.0, 3.0, 10.0, 30.0, 100.0, 1000.0])
    annotator: int | None = None
    standardise: bool = True
    centre: Centre = "none"

    def __post_init__(self) -> None:
        if self.components < 1:
            raise ValueError(f"components must be >= 1, got {self.components}")
        if not self.temperatures or not all(0 <= t < math.inf for t in self.temperatures):
            raise ValueError(f"temperature must be one or more finite numbers >= 0, got {self.temperature}")

    @property
    def temperatures(self) -> list[float]:
        """The temperatures in ascending order: among equals the first, and most even mixture, is kept."""
        given = self.temperature if isinstance(self.temperature, list) else [self.temperature]
        return sorted(set(given))

    def check_fits(self, loss: Loss, comparisons: Comparisons) -> None:
        """Raises ConfigError for comparisons that are no pairs."""
        if len(comparisons) and comparisons.items.shape[1] != 2:
            raise ConfigError(
                f"head=directions compares 2 responses, got {comparisons.items.shape[1]}; "
                "set pairing to pairs, or use head=linear or head=mlp"
            )

    def fit(self, data: FitData, loss: Loss, seed: int) -> tuple[LinearHead, FitLog]:
        """Fits the head. The seed is unused."""
        several = len(self.temperatures) > 1
        needed_for = "choosing between several values of temperature (or give one)" if several else ""
        check_inputs(data, loss, needed_for)
        for comparisons in (data.train, data.validation):
            self.check_fits(loss, comparisons)
        prepared = prepare(data, self.standardise, np.float64)
        directions = candidates(*moments(prepared.train), self.components)
        if len(directions) == 0:
            raise InputError("all training comparisons differ in the same way; annotate more of them")
        train, validation = self._weighing(prepared.train), self._weighing(prepared.validation)
        for split, side in (("training", train), ("validation", validation)):
            if len(side.items) == 0 and (split == "training" or several):
                raise InputError(
                    f"annotator {self.annotator} has no {split} comparisons; "
                    "set head.annotator to one that has, or head.annotator=null"
                )
        weight, log = self._mix(directions, train, validation, loss)
        return LinearHead(weight=weight, intercept=0.0, standardiser=prepared.standardiser), log

    def _weighing(self, side: Compared) -> Compared:
        """Returns the comparisons that set the weights of the directions."""
        if self.annotator is None:
            return side
        rows = np.flatnonzero(side.comparisons.annotator == self.annotator)
        return Compared(side.x, side.items[rows], side.comparisons.take(rows))

    def _mix(
        self, directions: np.ndarray, train: Compared, validation: Compared, loss: Loss
    ) -> tuple[np.ndarray, FitLog]:
        """Returns the mixture [d] with the lowest validation loss, and the log of all temperatures."""
        log, alone = FitLog(), losses_of(directions, train, loss)
        found: list[tuple[float, float, np.ndarray]] = []
        for index, temperature in enumerate(self.temperatures):
            shares = softmax(-temperature * alone)
            mixed, validation_loss = shares @ directions, math.nan
            log.add(index, index, "train", float(losses_of(mixed[None], train, loss)[0]))
            if len(validation.items):
                validation_loss = float(losses_of(mixed[None], validation, loss)[0])
                log.add(index, index, "validation", validation_loss)
            found.append((validation_loss, temperature, shares))
        _, temperature, shares = min(found, key=lambda one: one[0])
        log.chosen = {
            "temperature": temperature,
            "directions": len(directions),
            "effective_directions": float(np.exp(entr(shares).sum())),
        }
        return shares @ directions, log


def moments(side: Compared) -> tuple[np.ndarray, np.ndarray]:
    """Returns the weighted mean [d] and population covariance [d, d] of z = φ(winner) - φ(loser)."""
    share = side.comparisons.weight / side.comparisons.weight.sum()
    winners, losers = side.items.T
    mean, covariance = np.zeros(side.x.shape[1]), np.zeros((side.x.shape[1],) * 2)
    for block in row_blocks(len(share)):
        mean += share[block] @ (side.x[winners[block]] - side.x[losers[block]])
    for block in row_blocks(len(share)):
        z = side.x[winners[block]] - side.x[losers[block]] - mean
        covariance += (share[block, None] * z).T @ z
    return mean, covariance


def candidates(mean: np.ndarray, covariance: np.ndarray, components: int) -> np.ndarray:
    """Returns directions v [c, d]: principal components, their opposites, then the mean difference.

    Each is scaled so that the margins z · v of the training comparisons have standard deviation 1. Directions
    in which they do not vary are left out, so there may be fewer components than asked for.
    """
    d = len(mean)
    variance, vectors = eigh(covariance, subset_by_index=[max(d - components, 0), d - 1])
    varies = variance > ROUNDING * np.trace(covariance)
    principal = (vectors[:, varies] / np.sqrt(variance[varies])).T[::-1]
    along_mean = float(mean @ covariance @ mean)
    if along_mean <= ROUNDING * float(mean @ mean) * np.trace(covariance):
        return np.vstack([principal, -principal])
    return np.vstack([principal, -principal, mean / math.sqrt(along_mean)])


def losses_of(directions: np.ndarray, side: Compared, loss: Loss) -> np.ndarray:
    """Returns the weighted mean loss under each direction alone, [c]. directions: [c, d]."""
    scores = torch.from_numpy(side.x @ directions.T)[torch.from_numpy(side.items)]  # [n, 2, c]
    return np.array([float(mean_loss(loss, one, side.comparisons)) for one in scores.unbind(dim=2)])
