"""What heads must beat on held-out pairs: tuned logistic regression on embedding differences, and length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from rmlab.heads.logistic import fit_logistic
from rmlab.stages.pairs import Pairs
from rmlab.stages.responses import Responses
from rmlab.stages.vectors import Vectors

BASELINE = "logistic_regression"
LENGTH = "length"


class Baseline(NamedTuple):
    """margins: [n] of held-out pairs; strengths: C of each part's fit; unconverged: fits cut short."""

    margins: np.ndarray
    strengths: list[float]
    unconverged: int


def baseline_margins(
    responses: Responses, vectors: Vectors, pairs: Pairs, parts: np.ndarray, group: np.ndarray
) -> Baseline:
    """By a regression on all pairs outside their part.

    parts: [m] the part of each response, judged by what is fitted on all other parts; -1: never judged.
    group: [m] number of the group of each response's prompt. The regression chooses its strength by
    cross-validation over groups, so it is fitted on the validation pairs too, which heads only choose by.
    """
    margins, unconverged = np.empty(len(pairs)), 0
    strengths: list[float] = []
    for part, here in _parts(parts[pairs.first]):
        train = Pairs.among(responses, parts != part).items
        rows = np.unique(np.concatenate([train.ravel(), pairs.items[here].ravel()]))
        x = vectors.rows(rows)
        head, c, converged = fit_logistic(x, np.searchsorted(rows, train), group[train[:, 0]])
        strengths.append(c)
        unconverged += not converged
        scores = head.raw(x)
        preferred, other = np.searchsorted(rows, pairs.items[here]).T
        margins[here] = scores[preferred] - scores[other]
    return Baseline(margins, strengths, unconverged)


def length_margins(responses: Responses, lengths: np.ndarray, pairs: Pairs, parts: np.ndarray) -> np.ndarray:
    """[n] words that the preferred answer has more, or fewer if shorter answers win outside the part."""
    margins = pairs.margins(lengths)
    for part, here in _parts(parts[pairs.first]):
        outside = Pairs.among(responses, parts != part).margins(lengths)
        if np.sign(outside).mean() < 0:
            margins[here] = -margins[here]
    return margins


def _parts(part: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Each part and the pairs [n] that it has."""
    for value in np.unique(part):
        yield int(value), part == value
