"""The intervals of heads that know how uncertain they are, against the annotators' true log-odds."""

from __future__ import annotations

import numpy as np

from rmlab.heads.base import CentredHead, EnsembleHead, LaplaceHead, RewardHead
from rmlab.labels.base import Labels
from rmlab.labels.logistic import Logistic
from rmlab.metrics.interval_coverage import interval_coverage
from rmlab.stages.prompt_means import centred
from rmlab.stages.vectors import Vectors

MAX_INTERVALS = 5000  # pairs, evenly spaced among those of calibration


def interval_numbers(
    head: RewardHead,
    annotator: Labels | None,
    vectors: Vectors,
    golden: np.ndarray,
    group: np.ndarray,
    pairs: tuple[np.ndarray, np.ndarray],
) -> dict[str, float]:
    """interval_coverage and interval_width of the 90 % intervals of log-odds; none unless the head has a
    spread (Laplace, ensembles) and the annotator true log-odds: beta * gap / scale, a noisy logistic one.

    vectors, golden, group: [m]; pairs: first and second rows, [n] each. A mean of a head over its
    temperature is what it takes for the log-odds, so its spread is over the temperature too.
    """
    inner = head.head if isinstance(head, CentredHead) else head
    if not isinstance(inner, EnsembleHead | LaplaceHead) or not isinstance(annotator, Logistic):
        return {}
    if annotator.beta is None or annotator.scale == "std" or annotator.error is not None:
        return {}
    chosen = np.unique(np.linspace(0, len(pairs[0]) - 1, min(MAX_INTERVALS, len(pairs[0]))).astype(int))
    first, second = (rows[chosen] for rows in pairs)
    x = [vectors.rows(r) if inner is head else centred(vectors, group, r) for r in (first, second)]
    mean, std = inner.margin(*x)
    truth = annotator.beta / annotator.scale * (golden[first] - golden[second])
    coverage, width = interval_coverage(mean / head.temperature, std / head.temperature, truth)
    return {"interval_coverage": coverage, "interval_width": width}
