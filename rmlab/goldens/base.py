"""What a golden reward is: it scores responses and stands for the annotators' taste.

To add one: a frozen dataclass whose open() returns a function from exchanges to scores.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from rmlab.models.compute import Compute
from rmlab.models.text.rendering import Exchange, Message


@dataclass(frozen=True)
class Failed:
    """In place of a score: why there is none. NaN, infinity and exceptions come to the same."""

    reason: str


Score = float | Failed
Scorer = Callable[[Sequence[Exchange]], Sequence[Score]]


@runtime_checkable
class TextScorer(Protocol):
    """A scorer that shows texts to a model: counts of what it did to them since they were last taken."""

    template_hash: str
    counts: Counter[str]


class Golden(Protocol):
    """A golden reward with `recorded = True` has its scores from a file: what failed was not failing now."""

    def open(self, compute: Compute) -> Scorer:
        """Loads what is needed, once; the scorer is then called shard by shard."""
        ...


@runtime_checkable
class Combination(Protocol):
    """A golden reward made of other golden rewards of the experiment, which it reads as they were saved."""

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of those others."""
        ...

    def combine(self, scores: Mapping[str, np.ndarray], train: np.ndarray) -> tuple[np.ndarray, Any]:
        """scores: [m] float64 of each part, NaN where it failed; train: [m] bool -> [m], facts to record."""
        ...


def conversation(messages: Sequence[Message]) -> str:
    """The content of a single message; several with their roles, a blank line between."""
    if len(messages) == 1:
        return messages[0]["content"]
    return "\n\n".join(f"{m['role'].capitalize()}: {m['content']}" for m in messages)
