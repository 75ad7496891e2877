"""The protocols of golden rewards, which score responses and define what annotators prefer.

To add one, write a frozen dataclass whose open() returns a function from exchanges to scores.
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
    """The reason why a response has no score. NaN, infinity and exceptions are treated alike."""

    reason: str


Score = float | Failed
Scorer = Callable[[Sequence[Exchange]], Sequence[Score]]


@runtime_checkable
class TextScorer(Protocol):
    """A scorer that shows texts to a model. counts: such as of truncated texts, reset by the caller."""

    template_hash: str
    counts: Counter[str]


class Golden(Protocol):
    """The settings of a golden reward.

    One with an attribute `recorded = True` reads its scores from a file, so trying again mends no failure.
    `packages` names the installed packages whose version and files decide its scores, such as a lexicon;
    components of every kind may have it. So may they have `needs`, the optional packages of rmlab that they
    import, `runs_model = True` if they use the device, and a method `check_machine(compute)`, which raises
    what the machine lacks: these are looked at before anything runs.
    """

    def open(self, compute: Compute) -> Scorer:
        """Loads what is needed, once; the scorer is then called for shard after shard."""
        ...


@runtime_checkable
class Combination(Protocol):
    """A golden reward computed from the saved scores of other golden rewards of the experiment."""

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of these other golden rewards."""
        ...

    def combine(self, scores: Mapping[str, np.ndarray], train: np.ndarray) -> tuple[np.ndarray, Any]:
        """Returns scores, [m], and facts to record.

        scores: [m] of each part, NaN if failed; train: [m] bool.
        """
        ...


def conversation(messages: Sequence[Message]) -> str:
    """Returns the content of a single message, or of several with their roles and blank lines between."""
    if len(messages) == 1:
        return messages[0]["content"]
    return "\n\n".join(f"{m['role'].capitalize()}: {m['content']}" for m in messages)
