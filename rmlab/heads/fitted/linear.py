"""Fitted linear heads: a plain one, and a Bayesian one with its uncertainty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from rmlab.heads.fitted.base import NormalisedHead, Standardiser, row_blocks
from rmlab.heads.fitted.storage import check_shapes, number_of, read_tensors, temperature_of, write_tensors


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
        tensors = {
            "weight": self.weight,
            "intercept": np.array([self.intercept]),
            "mean": self.standardiser.mean,
            "scale": self.standardiser.scale,
        }
        write_tensors(folder, tensors, self._description())

    @classmethod
    def load(cls, folder: Path, description: Mapping[str, Any]) -> LinearHead:
        tensors = read_tensors(folder, description)
        d = tensors["weight"].size
        check_shapes(tensors, {"weight": (d,), "intercept": (1,), "mean": (d,), "scale": (d,)})
        return cls(
            weight=tensors["weight"],
            intercept=float(tensors["intercept"][0]),
            standardiser=Standardiser(tensors["mean"], tensors["scale"]),
            gain=number_of(description, "gain"),
            bias=number_of(description, "bias"),
            temperature=temperature_of(description),
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class LaplaceHead(NormalisedHead):
    """raw = z · weight + intercept - k |L⁻¹ (z - centre)| with z = (x - mean) / scale, in float64.

    The weights have the posterior N(weight, H⁻¹), H = L Lᵀ. Rewards are defined up to a shift, so the
    uncertainty of one is that of its difference from the reward of the mean training response, which is at
    `centre`: std(x)² = (z - centre)ᵀ H⁻¹ (z - centre). factor: [d, d], L⁻¹; weight, centre: [d].
    """

    kind: ClassVar[str] = "laplace"
    weight: np.ndarray
    intercept: float
    standardiser: Standardiser
    centre: np.ndarray
    factor: np.ndarray
    k: float = 0.0

    @property
    def d(self) -> int:
        return len(self.weight)

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

    def features(self, x: np.ndarray) -> np.ndarray:
        return self.standardiser.apply(x, np.float64)

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

    def pair_probability(self, x_a: np.ndarray, x_b: np.ndarray) -> np.ndarray:
        """Returns P(a is preferred to b), averaged over the posterior, [m]. x_a, x_b: [m, d].

        ∫ σ(m') N(m'; m, v) dm' ≈ σ(m / sqrt(1 + π v / 8)), where m is the difference of the mean scores over
        the temperature T and v = (z_a - z_b)ᵀ H⁻¹ (z_a - z_b) / T². Source: MacKay 1992. k does not
        matter here.
        """
        difference, std = (part / self.temperature for part in self.margin(x_a, x_b))
        moderated = difference / np.sqrt(1 + np.pi / 8 * std**2)
        return 0.5 * (1 + np.tanh(0.5 * moderated))  # the logistic function, without overflow

    def save(self, folder: Path) -> None:
        tensors = {
            "weight": self.weight,
            "intercept": np.array([self.intercept]),
            "mean": self.standardiser.mean,
            "scale": self.standardiser.scale,
            "centre": self.centre,
            "factor": self.factor,
        }
        write_tensors(folder, tensors, {**self._description(), "k": self.k})

    @classmethod
    def load(cls, folder: Path, description: Mapping[str, Any]) -> LaplaceHead:
        tensors = read_tensors(folder, description)
        d = tensors["weight"].size
        vectors = dict.fromkeys(("weight", "mean", "scale", "centre"), (d,))
        check_shapes(tensors, {**vectors, "intercept": (1,), "factor": (d, d)})
        return cls(
            weight=tensors["weight"],
            intercept=float(tensors["intercept"][0]),
            standardiser=Standardiser(tensors["mean"], tensors["scale"]),
            centre=tensors["centre"],
            factor=tensors["factor"],
            k=number_of(description, "k"),
            gain=number_of(description, "gain"),
            bias=number_of(description, "bias"),
            temperature=temperature_of(description),
        )
