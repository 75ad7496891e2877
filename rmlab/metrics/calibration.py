"""Calibration of pair probabilities and of intervals, and how far two heads decide pairs alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from rmlab.errors import InputError

WIDEST = 1e3  # the temperature lies within this factor of the size of the margins


def reliability(prob: np.ndarray, correct: np.ndarray, bins: int = 10) -> dict[str, np.ndarray]:
    """prob: [n] predicted probability, correct: [n] whether it came true, or how often -> arrays of [bins]:

    low and high edge, count, mean prob and mean correct (NaN for an empty bin). Equal-width bins, open
    below, closed above, as in scikit-learn. For a head, prob = sigma((s_i - s_j) / T) and correct is whether
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


def negative_log_likelihood(
    log_odds: np.ndarray, answer: np.ndarray, weight: np.ndarray | None = None
) -> float:
    """Weighted mean of -y log sigma(m) - (1 - y) log sigma(-m) = log(1 + e^m) - y m, in nats.

    log_odds: [n] m, of the first of two responses; answer: [n] y in [0, 1], the share that prefers the first.
    """
    return float(np.average(np.logaddexp(0, log_odds) - answer * log_odds, weights=weight))


def brier_score(prob: np.ndarray, answer: np.ndarray) -> float:
    """prob: [n], answer: [n] in [0, 1] -> mean of y (1 - p)^2 + (1 - y) p^2. Source: Brier 1950."""
    return float(np.mean(answer * (1 - prob) ** 2 + (1 - answer) * prob**2))


def fit_temperature(margin: np.ndarray, answer: np.ndarray, weight: np.ndarray | None = None) -> float:
    """T > 0 with which sigma(margin / T) is most likely to have given the answers; 1 without any margin.

    margin: [n] score of the first response less that of the second; answer: [n] in [0, 1], the share that
    prefers the first; weight: [n]. The negative log-likelihood is convex in 1 / T. A head that is right
    in every answer would have T = 0, so answers are smoothed to (n y + 1) / (n + 2), as Platt 1999 does; a
    head that is no better than chance ends at the upper limit, where every probability is close to 1/2.
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


LEVEL = 0.9


def interval_coverage(
    mean: np.ndarray, std: np.ndarray, truth: np.ndarray, level: float = LEVEL
) -> tuple[float, float]:
    """Share of the truths within mean +- z std, z the normal quantile of the level, and the mean width.

    mean, std, truth: [n], in one unit; NaN for both if n is 0. Coverage alone is met by wide intervals, so
    the two belong together. Source: Gneiting & Raftery 2007, section 6.
    """
    if not len(truth):
        return np.nan, np.nan
    half = norm.ppf(0.5 + level / 2) * std
    return float((np.abs(truth - mean) <= half).mean()), float(2 * half.mean())


@dataclass(frozen=True)
class PairAgreement:
    """n: pairs that both decide; share: of them decided alike; kappa: 0 for chance, 1 for always alike."""

    n: int
    share: float
    kappa: float


def pair_agreement(a: np.ndarray, b: np.ndarray) -> PairAgreement:
    """a, b: [n] margins of two heads, first response less second, on the same pairs.

    kappa = (share - e) / (1 - e), e the share that two heads agree on by chance that prefer the first as
    often as these two do. Pairs on which either has a tie are left out. NaN where nothing is left, or
    where both always prefer the first (or the second). Source: Cohen 1960.
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
