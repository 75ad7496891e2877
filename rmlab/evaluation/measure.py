"""The metrics of one arm on one split: a number a prompt, and the calibration of its pairs."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import expit

from rmlab.comparisons import Comparisons, Pool
from rmlab.metrics.accuracy import accuracy_of, untied_pairs
from rmlab.metrics.base import RowNumbers
from rmlab.metrics.best_of_n import best_of_n_of, default_ns, proxy_of_n_of, selected_quantile_of
from rmlab.metrics.calibration import brier_score, expected_calibration_error, negative_log_likelihood
from rmlab.metrics.controlled import BalancedPairs, partial_correlation
from rmlab.metrics.order import GoldenOrder
from rmlab.metrics.rank_correlation import constant_of, kendall_of, spearman_of
from rmlab.metrics.streamed_order import order_of
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


def measure(responses: Responses, lengths: np.ndarray, scores: np.ndarray) -> Measured:
    """lengths, scores: [m], rows as in responses."""
    split = _split(responses, lengths)
    ns = default_ns(split.truth.fewest)
    found = numbers_of(scores, split.truth, split.by_length, split.length_golden, ns)
    first, second = split.pairs
    golden = float(responses.golden.mean()), float(responses.golden.std())
    return measured(found, ns, *golden, split.balanced, scores[first] - scores[second])


def numbers_of(
    scores: RowNumbers, truth: GoldenOrder, by_length: GoldenOrder, length_golden: np.ndarray, ns: list[int]
) -> dict[str, np.ndarray]:
    """Everything that is measured of a prompt, by name: [P], or [P, len(ns)] of golden and proxy.

    length_golden: [P] rank correlation of lengths and golden rewards.
    """
    order = order_of(scores, truth)
    golden = best_of_n_of(order, ns)
    spearman, by_words = spearman_of(order), spearman_of(order_of(scores, by_length))
    return {
        "best_of_n": golden[:, -1],
        "selected_quantile": selected_quantile_of(order, ns[-1:])[:, 0],
        "spearman": spearman,
        "kendall": kendall_of(order),
        "accuracy": accuracy_of(order),
        "length_spearman": by_words,
        "partial_spearman": partial_correlation(spearman, by_words, length_golden),
        "constant": constant_of(order),
        "golden": golden,
        "proxy": proxy_of_n_of(order, ns),
    }


def measured(
    found: dict[str, np.ndarray],
    ns: list[int],
    mean: float,
    deviation: float,
    pairs: BalancedPairs,
    margin: np.ndarray,
) -> Measured:
    """margin: [n] score of the first response of each of the pairs less that of the second."""
    apart = ("golden", "proxy", "constant")
    per_prompt = {name: values for name, values in found.items() if name not in apart}
    per_prompt |= pairs.accuracy(margin)
    constant = found["constant"].astype(bool)
    return Measured(per_prompt, ns, found["golden"], found["proxy"], mean, deviation, constant, pairs.prompt)


def judged_pairs(responses: Responses, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """-> (first [n], second [n]) rows of responses, n <= MAX_PAIRS: same-prompt pairs of different golden
    rewards, in the order of their ids; the same for all arms."""
    return _split(responses, lengths).pairs


@dataclass(frozen=True)
class _Split:
    """What does not depend on the arm."""

    lengths: np.ndarray
    truth: GoldenOrder

    @cached_property
    def by_length(self) -> GoldenOrder:
        return GoldenOrder.of(self.lengths, self.truth.group)

    @cached_property
    def length_golden(self) -> np.ndarray:
        return spearman_of(order_of(self.lengths, self.truth))

    @cached_property
    def balanced(self) -> BalancedPairs:
        first, second = self.pairs
        lengths, golden = self.lengths.astype(float), self.truth.golden
        prompts, place = np.unique(self.truth.group, return_inverse=True)
        style = (lengths[first] - lengths[second])[:, None]
        return BalancedPairs.of(golden[first] > golden[second], style, place[first], len(prompts))

    @cached_property
    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        return untied_pairs(self.truth, MAX_PAIRS, np.random.default_rng(0))


_splits: dict[int, _Split] = {}


def _split(responses: Responses, lengths: np.ndarray) -> _Split:
    """Kept for as long as the responses are; it must not refer to them itself."""
    key = id(responses)
    known = _splits.get(key)
    if known is None:
        weakref.finalize(responses, _splits.pop, key, None)
        known = _splits[key] = _Split(lengths, GoldenOrder.of(responses.golden, responses.group))
    if known.lengths is not lengths:
        known = _splits[key] = _Split(lengths, known.truth)
    return known


@dataclass(frozen=True)
class PairAnswers:
    """What annotators say of pairs. pair: [k] which pair was answered; first: [k] share in [0, 1] that
    prefers its first response. Pairs may go unanswered, or be answered more than once."""

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
