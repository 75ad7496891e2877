"""A fitted linear head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from rmlab.heads.scoring import NormalisedHead
from rmlab.heads.standardise import Standardiser
from rmlab.heads.storage import check_shapes, number_of, read_tensors, temperature_of, write_tensors


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
