"""Labels turn unordered comparisons into answers: the preferred item comes first."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from rmlab.comparisons import Comparisons, Pool
from rmlab.errors import ConfigError, InputError


class Labels(Protocol):
    def __call__(self, comparisons: Comparisons, pool: Pool, rng: np.random.Generator) -> Comparisons: ...


@runtime_checkable
class Reporting(Protocol):
    """Labels that also say something about the answers, which the comparisons no longer show."""

    def answers(
        self, comparisons: Comparisons, pool: Pool, rng: np.random.Generator
    ) -> tuple[Comparisons, dict[str, float]]:
        """The comparisons that __call__ returns for the same rng, and named numbers to report.

        Of these n_dropped_ties counts the comparisons that have no answer left.
        """
        ...


@runtime_checkable
class Settling(Protocol):
    """Labels whose annotator depends on what is compared, such as on a mean error rate to be met."""

    def settled(self, comparisons: Comparisons, pool: Pool) -> Labels:
        """The annotator of these comparisons, who answers any others by the same law."""
        ...


def golden_rewards(comparisons: Comparisons, pool: Pool) -> np.ndarray:
    """[n, K] golden rewards of the items."""
    golden = pool.golden[comparisons.items]
    if not np.isfinite(golden).all():
        raise InputError("some golden rewards are not finite: annotate the responses again")
    return golden


def golden_gap(comparisons: Comparisons, pool: Pool) -> np.ndarray:
    """[n] golden reward of the first item less that of the second."""
    if comparisons.items.ndim != 2 or comparisons.items.shape[1] != 2:
        raise ConfigError(
            "these labels answer pairs alone: set pairing=same_prompt or cross_prompt, or noise=logistic"
        )
    golden = golden_rewards(comparisons, pool)
    gap = golden[:, 0] - golden[:, 1]
    if not gap.any():
        raise InputError("all compared responses have equal golden rewards: use a reward that varies")
    return gap


def answer_pairs(
    comparisons: Comparisons, pool: Pool, gap: np.ndarray, right: np.ndarray, prob: np.ndarray
) -> Comparisons:
    """Answers for items [n, 2]: the preferred item first.

    gap: [n] from golden_gap; right: [n] bool, the answer is the better item (at a gap of 0: the first);
    prob: [n] the annotator's probability of this answer.
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
    """The comparisons that have a right answer."""
    return answered.take(np.flatnonzero(~answered.tie)) if answered.tie.any() else answered
