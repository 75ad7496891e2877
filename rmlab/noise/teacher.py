"""Answers that a fitted head gives in place of annotators, for weak-to-strong training."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from rmlab.comparisons import Comparisons, Pool
from rmlab.errors import ConfigError
from rmlab.noise.base import answer_pairs, golden_gap


def answered_by_scores(
    comparisons: Comparisons,
    pool: Pool,
    scores: np.ndarray,
    temperature: float | None,
    rng: np.random.Generator,
) -> Comparisons:
    """Returns the pairs as a teacher orders them. scores: [m], the teacher's scores of the pool.

    With temperature None the response with the higher score comes first (at equal scores, either at random),
    and label_prob is 1. Otherwise the first of a pair is preferred with probability
    sigma((s_1 - s_2) / temperature), the Bradley-Terry model, and label_prob is the probability of the
    answer. `correct` still says whether the answer agrees with the golden order, so the error rate of the
    result is that of the teacher.
    Source: Burns et al. 2023 (arXiv 2312.09390), where a weak supervisor labels what a strong model is
    trained on.
    """
    check_answerable(comparisons)
    gap = golden_gap(comparisons, pool)
    difference = scores[comparisons.items[:, 0]] - scores[comparisons.items[:, 1]]
    chance = rng.random(len(difference))
    if temperature is None:
        prefers_first = np.where(difference == 0, chance < 0.5, difference > 0)
        prob = np.ones(len(difference))
    else:
        prefers_first = chance < expit(difference / temperature)
        prob = expit(np.where(prefers_first, difference, -difference) / temperature)
    return answer_pairs(comparisons, pool, gap, prefers_first == (gap >= 0), prob)


def check_answerable(comparisons: Comparisons) -> None:
    """Raises ConfigError for comparisons that a teacher cannot answer."""
    if comparisons.kind != "pair":
        raise ConfigError(
            f"a teacher answers pairs alone, not comparisons of kind {comparisons.kind}; "
            "set pairing=same_prompt or pairing=cross_prompt, or teacher.n=null"
        )
