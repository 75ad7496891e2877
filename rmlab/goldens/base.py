"""A golden reward scores responses; it stands for the annotators' taste.

To add one: a frozen dataclass whose open() returns a function from exchanges to scores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from rmlab.compute import Compute
from rmlab.text import Exchange

Scorer = Callable[[Sequence[Exchange]], Sequence[float]]


class Golden(Protocol):
    def open(self, compute: Compute) -> Scorer:
        """Loads what is needed, once; the scorer is then called shard by shard."""
        ...
