"""The protocols of annotator models, which turn unordered comparisons into answers, and what they share."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from rmlab.comparisons import Comparisons, Pool
from rmlab.errors import ConfigError, InputError


class Labels(Protocol):
    """An annotator model."""

    def __call__(self, comparisons: Comparisons, pool: Pool, rng: np.random.Generator) -> Comparisons:
        """Returns the comparisons with answers: of each, the preferred item comes first."""
        ...


@runtime_checkable
class Reporting(Protocol):
    """An annotator model that also reports on its answers, such as how far several annotators agreed."""

    def answers(
        self, comparisons: Comparisons, pool: Pool, rng: np.random.Generator
    ) -> tuple[Comparisons, dict[str, float]]:
        """Returns what __call__ returns for the same rng, and named numbers to report.

        One of them, n_dropped_ties, counts the comparisons that are left without an answer.
        """
        ...


@runtime_checkable
class Settling(Protocol):
    """An annotator model that adapts to what is compared, for instance to reach a mean error rate."""

    def settled(self, comparisons: Comparisons, pool: Pool) -> Labels:
        """Returns the model with its parameters fixed on these comparisons, to answer others alike."""
        ...


def golden_rewards(comparisons: Comparisons, pool: Pool) -> np.ndarray:
    """Returns the golden rewards of the items, [n, K]; raises InputError unless all are finite."""
    golden = pool.golden[comparisons.items]
    if not np.isfinite(golden).all():
        raise InputError("some golden rewards are not finite: annotate the responses again")
    return golden


def golden_gap(comparisons: Comparisons, pool: Pool) -> np.ndarray:
    """Returns the golden reward of the first item less that of the second, [n]."""
    if comparisons.items.ndim != 2 or comparisons.items.shape[1] != 2:
        raise ConfigError(
            "these annotators answer pairs alone: set pairing=same_prompt or cross_prompt, or noise=logistic"
        )
    golden = golden_rewards(comparisons, pool)
    gap = golden[:, 0] - golden[:, 1]
    if not gap.any():
        raise InputError("all compared responses have equal golden rewards: use a reward that varies")
    return gap


def answer_pairs(
    comparisons: Comparisons, pool: Pool, gap: np.ndarray, right: np.ndarray, prob: np.ndarray
) -> Comparisons:
    """Returns the answers to pairs, items [n, 2] with the preferred one first.

    gap: [n] from golden_gap; right: [n] bool, whether the answer is the better item (at a gap of 0: the
    first); prob: [n], the annotator's probability of this answer.
    """
    tie = gap == 0
    kept = right == (gap >= 0)
    left, other = comparisons.items[:, 0], comparisons.items[:, 1]
    first = np.where(kept, left, other)
    items = np.stack([first, np.where(kept, other, left)], axis=1)
    return Comparisons(
        items=items,
        group=pool.group[first],
        kind=comparisons.kind,
        weight=comparisons.weight,
        label_prob=prob,
        margin=np.abs(gap),
        tie=tie,
        correct=right & ~tie,
        annotator=comparisons.annotator,
        golden=pool.golden[items],
    )


def without_ties(answered: Comparisons) -> Comparisons:
    """Returns the comparisons without ties, that is those that have a right answer."""
    return answered.take(np.flatnonzero(~answered.tie)) if answered.tie.any() else answered
