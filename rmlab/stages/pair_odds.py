"""Calibration of one arm on the pairs of a split, against its annotators and against the golden order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from rmlab.comparisons import Comparisons, Pool
from rmlab.labels.base import Labels
from rmlab.metrics.calibration import brier_score, expected_calibration_error, negative_log_likelihood


@dataclass(frozen=True)
class Answers:
    """What annotators say of pairs. pair: [k] which pair was answered; first: [k] share in [0, 1] that
    prefers its first response. Pairs may go unanswered, or be answered more than once."""

    pair: np.ndarray
    first: np.ndarray

    @classmethod
    def golden(cls, first: np.ndarray, second: np.ndarray) -> Answers:
        """The golden order itself. first, second: [n] golden rewards, no two of a pair equal."""
        return cls(np.arange(len(first)), (first > second).astype(float))

    @classmethod
    def drawn(cls, annotator: Labels, first: np.ndarray, second: np.ndarray, seed: int) -> Answers:
        """first, second: [n] golden rewards. Where a comparison stands does not change its answer's law, so
        the pairs are asked as if each were of responses of its own."""
        n = len(first)
        asked = Comparisons(np.column_stack([np.arange(n), n + np.arange(n)]), np.zeros(n, np.int64))
        pool = Pool(np.concatenate([first, second]), np.zeros(2 * n, np.int64))
        answered = annotator(asked, pool, np.random.default_rng([seed, 3]))
        preferred = answered.items[:, 0]
        share = np.where(preferred < n, answered.share, 1 - answered.share)
        return cls(preferred % n, share)


@dataclass(frozen=True)
class Odds:
    """margin: [n] raw score of the first response of each pair less that of the second; with the temperature
    P(the first is preferred) = sigma(margin / temperature)."""

    margin: np.ndarray
    temperature: float
    golden: Answers
    annotators: Answers

    def probability(self, answers: Answers) -> np.ndarray:
        """[k]"""
        return expit(self.margin[answers.pair] / self.temperature)

    def numbers(self) -> dict[str, float]:
        """ece, nll and brier against the annotators and against the golden order, and the ece of the raw
        margins, before the temperature; NaN without a pair."""
        found: dict[str, float] = {}
        for name, answers in (("annotators", self.annotators), ("golden", self.golden)):
            names = [f"{metric}_{name}" for metric in ("ece", "nll", "brier", "ece_raw")]
            found |= dict(zip(names, self._numbers(answers), strict=True))
        return found

    def _numbers(self, answers: Answers) -> tuple[float, float, float, float]:
        if not len(answers.pair):
            return (np.nan,) * 4
        margin, prob = self.margin[answers.pair], self.probability(answers)
        return (
            expected_calibration_error(prob, answers.first),
            negative_log_likelihood(margin / self.temperature, answers.first),
            brier_score(prob, answers.first),
            expected_calibration_error(expit(margin), answers.first),
        )
