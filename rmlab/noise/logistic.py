"""Annotators who answer by the Bradley-Terry (logistic) or Plackett-Luce model of the golden reward."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit

from rmlab.comparisons import Comparisons, Pool
from rmlab.errors import InputError
from rmlab.noise.base import answer_pairs, golden_gap, golden_rewards, without_ties

CERTAIN = 1e4  # a difference of utilities that Gumbel noise in double precision cannot overcome


@dataclass(frozen=True)
class Logistic:
    """P(answer agrees with the golden order) = sigma(beta * |dr| / scale), the Bradley-Terry annotator.

    Rankings and choices of K responses follow Plackett-Luce with utilities beta * golden / scale, under which
    any two responses are ordered by the formula above. A single response is found good with probability
    sigma(beta * (golden - threshold) / scale), as if it were paired with one whose reward is the threshold.

    beta: the inverse noise; null, if error is null too, is noiseless. scale: a number, or "std", the standard
    deviation of the pool's golden rewards. error: the mean error rate over the comparisons without a tie,
    from which beta is solved, in place of the beta given; 0 is noiseless. For rankings and choices it is the
    share of the untied pairs within the lists that a ranking has in the wrong order, so that a rate means the
    same annotator for every kind of question.
    threshold: a golden reward, or "median", the pool's; for single responses only.
    keep_ties: keeps comparisons of equal golden rewards (lists: all equal; single responses: equal to the
    threshold) with random answers; otherwise they are dropped: count them as len(before) - len(after).
    Source: Bradley & Terry 1952; Plackett 1975; annotator and scale as in Sun, Shen & Ton 2025
    (arXiv 2411.04991).
    """

    name: ClassVar[str] = "logistic"

    beta: float | None = 1.0
    scale: float | Literal["std"] = "std"
    error: float | None = None
    keep_ties: bool = False
    threshold: float | Literal["median"] = "median"

    def __post_init__(self) -> None:
        if self.beta is not None and not 0 <= self.beta < np.inf:
            raise ValueError(f"beta is {self.beta}: use a number >= 0, or null for no noise")
        if self.scale != "std" and (isinstance(self.scale, str) or not 0 < self.scale < np.inf):
            raise ValueError(f"scale is {self.scale!r}: use a number > 0, or std")
        if self.error is not None and not 0 <= self.error < 0.5:
            raise ValueError(f"error is {self.error}: use a rate in [0, 0.5)")
        if self.threshold != "median" and (
            isinstance(self.threshold, str) or not np.isfinite(self.threshold)
        ):
            raise ValueError(f"threshold is {self.threshold!r}: use a number, or median")

    def __call__(self, comparisons: Comparisons, pool: Pool, rng: np.random.Generator) -> Comparisons:
        """Returns answers to comparisons of any kind, with all columns but weight and annotator set."""
        if not np.isfinite(pool.golden).all():
            raise InputError("some golden rewards are not finite: annotate the responses again")
        answer = {"pair": self._pairs, "unpaired": self._single}.get(comparisons.kind, self._lists)
        answered = answer(comparisons, pool, rng)
        return answered if self.keep_ties else without_ties(answered)

    def settled(self, comparisons: Comparisons, pool: Pool) -> Logistic:
        """Returns the annotator with its beta on these comparisons, per unit of golden reward."""
        golden = golden_rewards(comparisons, pool)
        threshold = float(np.median(pool.golden)) if self.threshold == "median" else self.threshold
        if comparisons.kind == "unpaired":
            gaps = np.abs(golden[:, 0] - threshold)
        else:
            first, second = np.triu_indices(golden.shape[1], 1)
            gaps = np.abs(golden[:, first] - golden[:, second])
        beta = self._beta(gaps, pool)
        return replace(
            self, beta=None if beta == np.inf else beta, scale=1.0, error=None, threshold=threshold
        )

    def _pairs(self, comparisons: Comparisons, pool: Pool, rng: np.random.Generator) -> Comparisons:
        gap = golden_gap(comparisons, pool)
        prob = self._prob_right(gap, pool)
        right = rng.random(len(gap)) < prob
        return answer_pairs(comparisons, pool, gap, right, np.where(right, prob, 1 - prob))

    def _single(self, comparisons: Comparisons, pool: Pool, rng: np.random.Generator) -> Comparisons:
        golden = golden_rewards(comparisons, pool)
        threshold = float(np.median(pool.golden)) if self.threshold == "median" else self.threshold
        gap = golden[:, 0] - threshold
        if not gap.any():
            raise InputError(
                f"every compared response has exactly the golden reward {threshold}: change noise.threshold"
            )
        prob = self._prob_right(gap, pool)
        right = rng.random(len(gap)) < prob
        return replace(
            comparisons,
            label_prob=np.where(right, prob, 1 - prob),
            margin=np.abs(gap),
            tie=gap == 0,
            correct=right & (gap != 0),
            share=(right == (gap >= 0)).astype(float),
            golden=golden,
        )

    def _lists(self, comparisons: Comparisons, pool: Pool, rng: np.random.Generator) -> Comparisons:
        golden = golden_rewards(comparisons, pool)
        tie = np.ptp(golden, axis=1) == 0
        if tie.all():
            raise InputError("all compared responses have equal golden rewards: use a reward that varies")
        utility = self._utility(golden, pool)
        is_choice = comparisons.kind == "choice"
        columns = (draw_choice if is_choice else draw_ranking)(utility, rng)
        items, golden, utility = (
            np.take_along_axis(of, columns, axis=1) for of in (comparisons.items, golden, utility)
        )
        stages = stage_log_prob(utility)
        last = golden[:, 1:].mean(axis=1) if is_choice else golden[:, -1]
        in_order = golden[:, :1] >= golden[:, 1:] if is_choice else golden[:, :-1] >= golden[:, 1:]
        return replace(
            comparisons,
            items=items,
            group=pool.group[items[:, 0]],
            label_prob=np.exp(stages[:, 0] if is_choice else stages.sum(axis=1)),
            margin=np.abs(golden[:, 0] - last),
            tie=tie,
            correct=in_order.all(axis=1) & ~tie,
            golden=golden,
        )

    def _prob_right(self, gap: np.ndarray, pool: Pool) -> np.ndarray:
        """Returns the probability of the right answer, [n], 1/2 at a gap of 0. gap: [n] golden gaps."""
        size = np.abs(gap)
        beta = self._beta(size, pool)
        return np.where(size > 0, 1.0, 0.5) if beta == np.inf else expit(beta * size)

    def _utility(self, golden: np.ndarray, pool: Pool) -> np.ndarray:
        """Returns utilities [n, K] in the order of the golden rewards [n, K]."""
        first, second = np.triu_indices(golden.shape[1], 1)
        beta = self._beta(np.abs(golden[:, first] - golden[:, second]), pool)
        if beta == np.inf:
            return CERTAIN * np.unique(golden, return_inverse=True)[1].reshape(golden.shape)
        return beta * (golden - golden.max(axis=1, keepdims=True))

    def _beta(self, gaps: np.ndarray, pool: Pool) -> float:
        """Returns the inverse noise per unit of golden reward, infinite without noise. gaps: >= 0."""
        if self.error is not None and self.error > 0:
            return solve_beta(gaps[gaps > 0], self.error)
        if self.error is not None or self.beta is None:
            return np.inf
        scale = float(pool.golden.std()) if self.scale == "std" else self.scale
        if scale == 0:
            raise InputError(
                "all golden rewards are equal: use a reward that varies, or a number as noise.scale"
            )
        return self.beta / scale


def solve_beta(gap: np.ndarray, error: float) -> float:
    """Solves mean sigma(-beta * gap) = error for beta. gap: [n] > 0; error in (0, 1/2).

    At beta = -logit(error) / max(gap) every comparison errs with at least this probability, and at
    -logit(error) / min(gap) with at most this one, so the solution lies between. It is unique, since the mean
    decreases with beta.
    """
    unreached = InputError(f"no beta gives the error {error}: use a rate further from 0 and 0.5")
    with np.errstate(over="ignore"):
        low, high = -logit(error) / gap.max() / 2, -logit(error) / gap.min() * 2
    if not 0 < low < high < np.inf:
        raise unreached

    def excess(log_beta: float) -> float:
        with np.errstate(over="ignore"):  # sigma(-inf) is 0, as it should be
            return float(expit(-np.exp(log_beta) * gap).mean() - error)

    ends = float(np.log(low)), float(np.log(high))
    if not excess(ends[0]) >= 0 >= excess(ends[1]):
        raise unreached
    return float(np.exp(brentq(excess, *ends)))


def draw_ranking(utility: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draws rankings: utilities [n, K] -> columns [n, K], best first, P(order) = prod_k softmax of the rest.

    The order of utilities with independent standard Gumbel noise is exactly Plackett-Luce, and any two of a
    list are ordered as a Bradley-Terry pair: P(i before j) = sigma(u_i - u_j).
    Source: Luce 1959; Plackett 1975; Yellott 1977 for the Gumbel noise.
    """
    return np.argsort(-(utility + rng.gumbel(size=utility.shape)), axis=1)


def draw_choice(utility: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draws choices from utilities [n, K], P(chosen) = softmax of the utilities.

    Returns columns [n, K] in which the chosen one and the first have changed places.
    """
    n, k = utility.shape
    chosen = (utility + rng.gumbel(size=utility.shape)).argmax(axis=1)
    columns = np.tile(np.arange(k), (n, 1))
    columns[np.arange(n), chosen] = 0
    columns[:, 0] = chosen
    return columns


def stage_log_prob(utility: np.ndarray) -> np.ndarray:
    """Returns the log-probability of each item to be taken before those after it. utility: [n, K] -> [n, K].

    Column 0 is the log-probability of the choice, the sum over columns that of the ranking.
    """
    left = np.logaddexp.accumulate(utility[:, ::-1], axis=1)[:, ::-1]
    return utility - left
