"""A golden reward that is a weighted sum of others, each standardised on the train responses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from rmlab.errors import InputError

_CONSTANT = 1e-12  # share of the mean below which a deviation is rounding error


@dataclass(frozen=True)
class Weighted:
    """Scores the sum over parts of weight (score - mean) / deviation, or unstandardised of weight * score.

    Mean and population standard deviation are over the train responses that all parts score. A response on
    which a part failed has no score.
    """

    name: ClassVar[str] = "weighted"

    weights: dict[str, float]
    standardise: bool = True

    def __post_init__(self) -> None:
        if not self.weights:
            raise ValueError("weights is empty: name golden rewards, such as {sentiment: 1, length: -0.5}")
        if not all(np.isfinite(w) for w in self.weights.values()):
            raise ValueError("weights must be finite numbers")

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(sorted(self.weights))

    def combine(self, scores: Mapping[str, np.ndarray], train: np.ndarray) -> tuple[np.ndarray, Any]:
        good = np.isfinite([scores[name] for name in self.parts]).all(axis=0)
        reference = good & train
        if not reference.any():
            names = ", ".join(self.parts)
            raise InputError(f"no train response has a score of all of {names}; there is nothing to weigh")
        total = np.where(good, 0.0, np.nan)
        facts = {}
        for name in self.parts:
            mean, deviation = float(scores[name][reference].mean()), float(scores[name][reference].std())
            facts[name] = {"weight": self.weights[name], "mean": mean, "deviation": deviation}
            total += self.weights[name] * self._scaled(name, scores[name], mean, deviation)
        return total, facts

    def _scaled(self, name: str, score: np.ndarray, mean: float, deviation: float) -> np.ndarray:
        """Standardises the scores of a part; raises InputError if they are constant."""
        if not self.standardise:
            return score
        if deviation <= _CONSTANT * abs(mean):
            raise InputError(
                f"golden reward {name} gives all train responses the same score, {mean:g}: "
                "leave it out of the weights, or set standardise to false"
            )
        return (score - mean) / deviation
