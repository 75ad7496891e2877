"""Do answers come true as often as their probability says?"""

from __future__ import annotations

import numpy as np

from rmlab.errors import InputError


def reliability(prob: np.ndarray, correct: np.ndarray, bins: int = 10) -> dict[str, np.ndarray]:
    """prob: [n] predicted probability, correct: [n] whether it came true -> arrays of [bins]:

    low and high edge, count, mean prob and mean correct (NaN for an empty bin). Equal-width bins, open
    below, closed above, as in scikit-learn. For a head, prob = sigma(s_i - s_j) and correct is whether
    i is the better one; which response is i must not depend on the answer, or correct is always true.
    """
    if len(prob) == 0 or not ((prob >= 0) & (prob <= 1)).all():
        raise InputError("calibration needs one or more probabilities in [0, 1]: pass sigma(margin)")
    edges = np.linspace(0, 1, bins + 1)
    index = np.searchsorted(edges[1:-1], prob)
    count = np.bincount(index, minlength=bins)
    with np.errstate(invalid="ignore"):
        return {
            "low": edges[:-1],
            "high": edges[1:],
            "count": count,
            "prob": np.bincount(index, prob, minlength=bins) / count,
            "correct": np.bincount(index, np.asarray(correct, dtype=float), minlength=bins) / count,
        }


def expected_calibration_error(prob: np.ndarray, correct: np.ndarray, bins: int = 10) -> float:
    """prob, correct: [n] -> sum over bins of count/n * |mean correct - mean prob|.

    Source: Naeini et al. 2015; Guo et al. 2017.
    """
    table = reliability(prob, correct, bins)
    used = table["count"] > 0
    gap = np.abs(table["correct"][used] - table["prob"][used])
    return float((table["count"][used] * gap).sum() / len(prob))
