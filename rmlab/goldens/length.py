"""Length in words, the shortcut that annotators fall for, or how near it comes to a wanted length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from rmlab.compute import Compute
from rmlab.goldens.base import Scorer
from rmlab.text import Exchange


@dataclass(frozen=True)
class Length:
    """The length of the response, or with a target -|length - target|: 0 is best."""

    name: ClassVar[str] = "length"

    unit: Literal["words", "characters"] = "words"
    target: int | None = None

    def __post_init__(self) -> None:
        if self.target is not None and self.target < 0:
            raise ValueError(f"target is {self.target}: use a length >= 0, or null")

    def open(self, compute: Compute) -> Scorer:
        def score(exchanges: Sequence[Exchange]) -> list[float]:
            return [self._score(e.response) for e in exchanges]

        return score

    def _score(self, text: str) -> float:
        length = len(text.split() if self.unit == "words" else text)
        return float(length if self.target is None else -abs(length - self.target))
