"""Fitted linear heads: a plain one, and a Bayesian one with its uncertainty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from rmlab.heads.fitted.base import NormalisedHead, Standardiser, row_blocks
from rmlab.heads.fitted.storage import check_shapes, number_of, read_tensors, scale_of, write_tensors


@dataclass(frozen=True, eq=False, kw_only=True)
class LinearHead(NormalisedHead):
    """raw = ((x - mean) / scale) · weight + intercept, in float64; weight: [d]."""

    kind: ClassVar[str] = "linear"
    weight: np.ndarray
    intercept: float
    standardiser: Standardiser

    @property
    def d(self) -> int:
        return len(self.weight)

    def _raw_block(self, x: np.ndarray) -> np.ndarray:
        by_feature = self.weight / self.standardiser.scale
        return x @ by_feature + (self.intercept - self.standardiser.mean @ by_feature)

    def features(self, x: np.ndarray) -> np.ndarray:
        return self.standardiser.apply(x, np.float64)

    def save(self, folder: Path) -> None:
        write_tensors(folder, self._tensors(), self._description())

    def _tensors(self) -> dict[str, np.ndarray]:
        """The numbers of the head as its file holds them."""
        intercept = np.array([self.intercept])
        mean, scale = self.standardiser.mean, self.standardiser.scale
        return {"weight": self.weight, "intercept": intercept, "mean": mean, "scale": scale}

    @classmethod
    def load(cls, folder: Path, description: Mapping[str, Any]) -> Self:
        tensors = read_tensors(folder, description)
        d = tensors["weight"].size
        check_shapes(tensors, {"intercept": (1,), **dict.fromkeys(("weight", "mean", "scale"), (d,))})
        return cls(
            weight=tensors["weight"],
            intercept=float(tensors["intercept"][0]),
            standardiser=Standardiser(tensors["mean"], tensors["scale"]),
            **cls._more(tensors, description),
            **scale_of(description),
        )

    @classmethod
    def _more(cls, tensors: Mapping[str, np.ndarray], description: Mapping[str, Any]) -> dict[str, Any]:
        """The fields that a kind of linear head adds, read from its files."""
        return {}


@dataclass(frozen=True, eq=False, kw_only=True)
class LaplaceHead(LinearHead):
    """raw = z · weight + intercept - k |L⁻¹ (z - centre)| with z = (x - mean) / scale, in float64.

    The weights have the posterior N(weight, H⁻¹), H = L Lᵀ. Rewards are defined up to a shift, so the
    uncertainty of one is that of its difference from the reward of the mean training response, which is at
    `centre`: std(x)² = (z - centre)ᵀ H⁻¹ (z - centre). factor: [d, d], L⁻¹; centre: [d].
    """

    kind: ClassVar[str] = "laplace"
    centre: np.ndarray
    factor: np.ndarray
    k: float = 0.0

    @property
    def mean_head(self) -> LinearHead:
        """The head with the most probable weights."""
        return LinearHead(weight=self.weight, intercept=self.intercept, standardiser=self.standardiser)

    def _raw_block(self, x: np.ndarray) -> np.ndarray:
        z = self.standardiser.apply(x, np.float64)
        mean = z @ self.weight + self.intercept
        return mean - self.k * self._std(z - self.centre) if self.k else mean

    def _std(self, z: np.ndarray) -> np.ndarray:
        """Returns sqrt(zᵀ H⁻¹ z) = |L⁻¹ z|, [b]. z: [b, d]."""
        return np.linalg.norm(z @ self.factor.T, axis=1)

    def uncertainty(self, x: np.ndarray) -> np.ndarray:
        """Returns the posterior standard deviation of the score as fitted, before the gain, [m].

        x: [m, d].
        """
        # With weight 0 and k = -1 the score is the standard deviation, so `raw` checks and blocks x here too.
        return replace(self, weight=np.zeros(self.d), intercept=0.0, k=-1.0).raw(x)

    def margin(self, x_a: np.ndarray, x_b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns posterior mean and standard deviation of raw_a - raw_b with k = 0, [m] each.

        x_a, x_b: [m, d].
        """
        difference = self.mean_head.raw(x_a) - self.mean_head.raw(x_b)
        std = np.empty(len(difference))
        for block in row_blocks(len(std)):
            z_a, z_b = (self.standardiser.apply(x[block], np.float64) for x in (x_a, x_b))
            std[block] = self._std(z_a - z_b)
        return difference, std

    def _description(self) -> dict[str, str | int | float]:
        return {**super()._description(), "k": self.k}

    def _tensors(self) -> dict[str, np.ndarray]:
        return {**super()._tensors(), "centre": self.centre, "factor": self.factor}

    @classmethod
    def _more(cls, tensors: Mapping[str, np.ndarray], description: Mapping[str, Any]) -> dict[str, Any]:
        d = tensors["weight"].size
        check_shapes(tensors, {"centre": (d,), "factor": (d, d)})
        return {"centre": tensors["centre"], "factor": tensors["factor"], "k": number_of(description, "k")}
