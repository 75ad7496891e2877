"""Length in words: the shortcut that annotators fall for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rmlab.compute import Compute
from rmlab.goldens.base import Scorer
from rmlab.text import Exchange


@dataclass(frozen=True)
class Length:
    def open(self, compute: Compute) -> Scorer:
        def score(exchanges: Sequence[Exchange]) -> list[float]:
            return [float(len(e.response.split())) for e in exchanges]

        return score
