"""The metrics of one arm on one split: a number a prompt, and the calibration of its pairs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import expit

from rmlab.comparisons import Comparisons, Pool
from rmlab.metrics.accuracy import pairwise_accuracy, untied_pairs
from rmlab.metrics.among_n import best_of_n, default_ns, proxy_of_n, selected_quantile
from rmlab.metrics.calibration import brier_score, expected_calibration_error, negative_log_likelihood
from rmlab.metrics.controlled import BalancedPairs, partial_correlation
from rmlab.metrics.order import GoldenOrder, ScoreOrder
from rmlab.metrics.rank_correlation import constant_of, kendall, spearman
from rmlab.noise.base import Labels
from rmlab.responses.table import Responses

BOUNDS = {  # of what can be, so of what an interval may hold
    "selected_quantile": (0, 1),
    "accuracy": (0, 1),
    "spearman": (-1, 1),
    "kendall": (-1, 1),
    "length_spearman": (-1, 1),
    "partial_spearman": (-1, 1),
    "length_controlled_accuracy": (0, 1),
    "style_controlled_accuracy": (0, 1),
}
MAX_PAIRS = 200_000  # of calibration, drawn at random where there are more


def within(metric: str, low: float, high: float) -> tuple[float, float]:
    """An interval of the metric, cut to what the metric can be."""
    least, most = BOUNDS.get(metric, (-np.inf, np.inf))
    return float(np.clip(low, least, most)), float(np.clip(high, least, most))


@dataclass(frozen=True, eq=False)
class JudgedSplit:
    """The responses that arms are judged on, and what of them is the same for every arm, computed once.

    golden, group, lengths: [m], the length in words; style: [m, F] features that accuracy is balanced in,
    the words first. The P prompts are in the order of np.unique(group).
    """

    name: str
    golden: np.ndarray
    group: np.ndarray
    lengths: np.ndarray
    style: np.ndarray

    @classmethod
    def of(
        cls,
        name: str,
        responses: Responses,
        rows: np.ndarray,
        lengths: np.ndarray,
        style: np.ndarray | None = None,
    ) -> JudgedSplit:
        """Some rows of all responses; lengths: [all], style: [all, F], or the lengths alone."""
        style = lengths[:, None] if style is None else style
        return cls(name, responses.golden[rows], responses.group[rows], lengths[rows], style[rows])

    @cached_property
    def truth(self) -> GoldenOrder:
        return GoldenOrder.of(self.golden, self.group)

    @cached_property
    def by_length(self) -> GoldenOrder:
        return GoldenOrder.of(self.lengths, self.group)

    @cached_property
    def length_golden(self) -> np.ndarray:
        """[P] rank correlation of lengths and golden rewards."""
        return spearman(ScoreOrder.of(self.lengths, self.truth))

    @cached_property
    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """(first [n], second [n]) rows, n <= MAX_PAIRS: same-prompt pairs of different golden rewards, in the
        order of their ids."""
        return untied_pairs(self.truth, MAX_PAIRS, np.random.default_rng(0))

    @cached_property
    def balanced(self) -> BalancedPairs:
        first, second = self.pairs
        prompts, place = np.unique(self.group, return_inverse=True)
        better_first = self.golden[first] > self.golden[second]
        style = self.style[first] - self.style[second]
        return BalancedPairs.of(better_first, style, place[first], len(prompts))


@dataclass(frozen=True)
class Measured:
    """per_prompt: metric -> [P]; golden, proxy: [P, len(ns)], golden reward and score of the best of N.

    constant: [P] bool, the arm scores all responses of the prompt alike, though golden rewards differ.
    pair_prompt: [n] position of the prompt of each of the split's pairs.

    golden_mean, golden_deviation: over all responses of the split.
    """

    per_prompt: dict[str, np.ndarray]
    ns: list[int]
    golden: np.ndarray
    proxy: np.ndarray
    golden_mean: float
    golden_deviation: float
    constant: np.ndarray
    pair_prompt: np.ndarray


def measure(split: JudgedSplit, scores: np.ndarray) -> Measured:
    """scores: [m] of one arm, rows as in the split."""
    order, ns = ScoreOrder.of(scores, split.truth), default_ns(split.truth.fewest)
    golden, by_golden = best_of_n(order, ns), spearman(order)
    by_words = spearman(ScoreOrder.of(scores, split.by_length))
    first, second = split.pairs
    per_prompt = {
        "best_of_n": golden[:, -1],
        "selected_quantile": selected_quantile(order, ns[-1:])[:, 0],
        "spearman": by_golden,
        "kendall": kendall(order),
        "accuracy": pairwise_accuracy(order),
        "length_spearman": by_words,
        "partial_spearman": partial_correlation(by_golden, by_words, split.length_golden),
        **split.balanced.accuracy(scores[first] - scores[second]),
    }
    return Measured(
        per_prompt,
        ns,
        golden,
        proxy_of_n(order, ns),
        golden_mean=float(split.golden.mean()),
        golden_deviation=float(split.golden.std()),
        constant=constant_of(order),
        pair_prompt=split.balanced.prompt,
    )


@dataclass(frozen=True)
class PairAnswers:
    """The answers of annotators to pairs, which may go unanswered or be answered more than once.

    pair: [k] which pair was answered; first: [k] share in [0, 1] that prefers its first response.
    """

    pair: np.ndarray
    first: np.ndarray

    @classmethod
    def golden(cls, first: np.ndarray, second: np.ndarray) -> PairAnswers:
        """The golden order itself. first, second: [n] golden rewards, no two of a pair equal."""
        return cls(np.arange(len(first)), (first > second).astype(float))

    @classmethod
    def drawn(cls, annotator: Labels, first: np.ndarray, second: np.ndarray, seed: int) -> PairAnswers:
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
    golden: PairAnswers
    annotators: PairAnswers

    def probability(self, answers: PairAnswers) -> np.ndarray:
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

    def _numbers(self, answers: PairAnswers) -> tuple[float, float, float, float]:
        if not len(answers.pair):
            return (np.nan,) * 4
        margin, prob = self.margin[answers.pair], self.probability(answers)
        return (
            expected_calibration_error(prob, answers.first),
            negative_log_likelihood(margin / self.temperature, answers.first),
            brier_score(prob, answers.first),
            expected_calibration_error(expit(margin), answers.first),
        )
