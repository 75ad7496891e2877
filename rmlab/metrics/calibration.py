"""Calibration of pair probabilities and of intervals, and the agreement of two heads on pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import ndtri

from rmlab.errors import InputError

WIDEST = 1e3  # a fitted temperature is within this factor of the size of margins
LEVEL = 0.9


def reliability(prob: np.ndarray, correct: np.ndarray, bins: int = 10) -> dict[str, np.ndarray]:
    """Returns a reliability table, arrays of [bins]: `low`, `high`, `count`, mean `prob`, mean `correct`.

    prob: [n], predicted probabilities; correct: [n], whether the event happened, or how often. Means of empty
    bins are NaN. Bins have equal width, open below, closed above, as in scikit-learn. For a head,
    prob = sigma((s_i - s_j) / T) and correct is whether i is the better one; which response is i must not
    depend on the answer, or correct is always true.
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
    """Returns the sum over bins of count/n * |mean correct - mean prob|. prob, correct: [n].

    Source: Naeini et al. 2015; Guo et al. 2017.
    """
    table = reliability(prob, correct, bins)
    used = table["count"] > 0
    gap = np.abs(table["correct"][used] - table["prob"][used])
    return float((table["count"][used] * gap).sum() / len(prob))


def negative_log_likelihood(
    log_odds: np.ndarray, answer: np.ndarray, weight: np.ndarray | None = None
) -> float:
    """Returns the weighted mean of -y log sigma(m) - (1 - y) log sigma(-m) = log(1 + e^m) - y m, in nats.

    log_odds: [n] m, of the first of two responses; answer: [n] y in [0, 1], the share that prefers the first.
    """
    return float(np.average(np.logaddexp(0, log_odds) - answer * log_odds, weights=weight))


def brier_score(prob: np.ndarray, answer: np.ndarray) -> float:
    """Returns the mean of y (1 - p)^2 + (1 - y) p^2. prob: [n]; answer: [n] in [0, 1]. Source: Brier 1950."""
    return float(np.mean(answer * (1 - prob) ** 2 + (1 - answer) * prob**2))


def fit_temperature(margin: np.ndarray, answer: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Fits T > 0 by maximum likelihood of the answers under sigma(margin / T); 1 if all margins are 0.

    margin: [n] score of the first response less that of the second; answer: [n] in [0, 1], the share that
    prefers the first; weight: [n]. The negative log-likelihood is convex in 1 / T. A head that agrees
    with every answer would have T = 0, so answers are smoothed to (n y + 1) / (n + 2), as Platt 1999 does; a
    head no better than chance ends at the upper limit, where every probability is close to 1/2.
    Source: Platt 1999 (a sigmoid of any score); Guo et al. 2017, "On Calibration of Modern Neural Networks".
    """
    size = float(np.sqrt(np.mean(np.square(margin)))) if len(margin) else 0.0
    if size == 0:
        return 1.0
    unit = margin / size
    smooth = (len(margin) * np.asarray(answer, dtype=float) + 1) / (len(margin) + 2)
    widest = np.log(WIDEST)
    found = minimize_scalar(
        lambda log_t: negative_log_likelihood(unit * np.exp(-log_t), smooth, weight),
        bounds=(-widest, widest),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(size * np.exp(found.x))


def interval_coverage(mean: np.ndarray, std: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Returns the share of truths in mean +- z std, z the normal quantile of LEVEL, and the mean width.

    mean, std, truth: [n] in the same unit; both results are NaN if n is 0. Wide intervals always have high
    coverage, so the two belong together. Source: Gneiting & Raftery 2007, section 6.
    """
    if not len(truth):
        return np.nan, np.nan
    half = ndtri(0.5 + LEVEL / 2) * std
    return float((np.abs(truth - mean) <= half).mean()), float(2 * half.mean())


@dataclass(frozen=True)
class PairAgreement:
    """Agreement of two heads.

    n: pairs that both decide; share: of these decided alike; kappa: 0 by chance, 1 at most.
    """

    n: int
    share: float
    kappa: float


def pair_agreement(a: np.ndarray, b: np.ndarray) -> PairAgreement:
    """Compares two heads. a, b: [n] their margins, first response less second, on the same pairs.

    kappa = (share - e) / (1 - e), e the share on which two heads agree by chance if each prefers the first
    response as often as these do. Pairs on which either head has a tie are left out. NaN where none is left,
    or where both always prefer the first (or the second). Source: Cohen 1960.
    """
    decided = (a != 0) & (b != 0)
    first_a, first_b = a[decided] > 0, b[decided] > 0
    if not len(first_a):
        return PairAgreement(0, float("nan"), float("nan"))
    share = float((first_a == first_b).mean())
    p, q = float(first_a.mean()), float(first_b.mean())
    chance = p * q + (1 - p) * (1 - q)
    kappa = (share - chance) / (1 - chance) if chance < 1 else float("nan")
    return PairAgreement(len(first_a), share, kappa)
