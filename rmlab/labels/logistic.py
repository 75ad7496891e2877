"""An annotator whose errors get rarer as the golden gap grows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit

from rmlab.comparisons import Comparisons, Pool
from rmlab.errors import InputError
from rmlab.labels.base import golden_gap


@dataclass(frozen=True)
class Logistic:
    """P(answer agrees with the golden order) = sigma(beta * |dr| / scale), the Bradley-Terry annotator.

    beta: inverse noise; null with no error: noiseless. scale: a number, or "std", the standard
    deviation of the pool's golden rewards. error: the mean error rate over the comparisons without a
    tie; beta is then solved for and the beta above not used; 0 is noiseless.
    keep_ties: keep comparisons of equal golden rewards, answered by a coin, else they are dropped:
    count them as len(before) - len(after).
    Source: Bradley & Terry 1952; annotator and scale as in Sun, Shen & Ton 2025 (arXiv 2411.04991).
    """

    beta: float | None = 1.0
    scale: float | Literal["std"] = "std"
    error: float | None = None
    keep_ties: bool = False

    def __post_init__(self) -> None:
        if self.beta is not None and not 0 <= self.beta < np.inf:
            raise ValueError(f"beta is {self.beta}: use a number >= 0, or null for no noise")
        if self.scale != "std" and (isinstance(self.scale, str) or not 0 < self.scale < np.inf):
            raise ValueError(f"scale is {self.scale!r}: use a number > 0, or std")
        if self.error is not None and not 0 <= self.error < 0.5:
            raise ValueError(f"error is {self.error}: use a rate in [0, 0.5)")

    def __call__(self, comparisons: Comparisons, pool: Pool, rng: np.random.Generator) -> Comparisons:
        """Answers for items [n, 2]: the preferred item first, with label_prob, margin, tie, correct."""
        gap = golden_gap(comparisons, pool)
        size, tie = np.abs(gap), gap == 0
        prob = np.where(tie, 0.5, self._prob_correct(size, pool))
        right = rng.random(len(gap)) < prob
        items = np.where((right == (gap >= 0))[:, None], comparisons.items, comparisons.items[:, ::-1])
        answered = Comparisons(
            items=items,
            group=pool.group[items[:, 0]],
            kind=comparisons.kind,
            weight=comparisons.weight,
            label_prob=np.where(right, prob, 1 - prob),
            margin=size,
            tie=tie,
            correct=right & ~tie,
            annotator=comparisons.annotator,
        )
        return answered if self.keep_ties else answered.take(~tie)

    def _prob_correct(self, size: np.ndarray, pool: Pool) -> np.ndarray:
        """size: [n] golden gaps -> [n] probabilities of the right answer (1/2 or 1 at a gap of 0)."""
        scaled = size / (float(pool.golden.std()) if self.scale == "std" else self.scale)
        if self.error is not None and self.error > 0:
            return expit(_solve_beta(scaled[scaled > 0], self.error) * scaled)
        if self.error is None and self.beta is not None:
            return expit(self.beta * scaled)
        return np.ones(len(size))


def _solve_beta(scaled: np.ndarray, error: float) -> float:
    """beta with mean sigma(-beta * scaled) = error. scaled: [n] > 0.

    Every comparison errs at least so often at -logit(error) / max, and at most so often at
    -logit(error) / min, so the solution lies between; the mean falls with beta, so there is one.
    """
    low, high = -logit(error) / scaled.max() / 2, -logit(error) / scaled.min() * 2
    if not 0 < low < high < np.inf:
        raise InputError(f"no beta gives the error {error}: use a rate further from 0 and 0.5")
    log_beta = brentq(lambda t: expit(-np.exp(t) * scaled).mean() - error, np.log(low), np.log(high))
    return float(np.exp(log_beta))
