"""A crowd of annotators who disagree, and measures of their agreement."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from scipy.special import expit

from rmlab.comparisons import Comparisons, Pool
from rmlab.noise.base import answer_pairs, golden_gap
from rmlab.noise.logistic import solve_beta


@dataclass(frozen=True)
class Crowd:
    """Annotators who answer pairs independently, each by sigma(beta * |dr|) with its own beta.

    errors: the mean error rate of each annotator over the pairs without a tie, from which its beta is solved
    (so no scale is needed); 0 is noiseless. per_comparison: how many annotators, drawn at random, answer each
    pair; null: all. Pairs of equal golden rewards are dropped before anyone answers.
    merge: rows gives a comparison for each answer, those of a pair together, with `annotator` its index in
    errors; share gives one for each pair in the order of the majority, with the majority's share of the votes
    (an even vote has share 1/2 and a random order); majority gives one for each pair, without the share, and
    drops even votes. label_prob of a merged pair is the mean over its annotators of their probabilities of
    the merged answer.
    betas: the inverse noise of each annotator per unit of golden reward, null for a noiseless one. They
    replace errors, of which only the number then counts; `settled` sets them.
    """

    name: ClassVar[str] = "crowd"

    errors: list[float]
    per_comparison: int | None = None
    merge: Literal["rows", "share", "majority"] = "share"
    betas: list[float | None] | None = None

    def __post_init__(self) -> None:
        if not self.errors or not all(0 <= error < 0.5 for error in self.errors):
            raise ValueError(f"errors is {self.errors}: use one rate in [0, 0.5) or more")
        if self.per_comparison is not None and not 1 <= self.per_comparison <= len(self.errors):
            raise ValueError(
                f"per_comparison is {self.per_comparison}: use 1 to {len(self.errors)}, or null for all"
            )
        if self.merge not in ("rows", "share", "majority"):
            raise ValueError(f"merge is {self.merge!r}: use rows, share or majority")
        if self.betas is not None and not (
            len(self.betas) == len(self.errors)
            and all(beta is None or 0 <= beta < np.inf for beta in self.betas)
        ):
            raise ValueError(f"betas is {self.betas}: use a number >= 0 or null for each of errors")

    def __call__(self, comparisons: Comparisons, pool: Pool, rng: np.random.Generator) -> Comparisons:
        """Returns the answers to pairs, items [n, 2] with the preferred one first, as the class describes."""
        return self.answers(comparisons, pool, rng)[0]

    def answers(
        self, comparisons: Comparisons, pool: Pool, rng: np.random.Generator
    ) -> tuple[Comparisons, dict[str, float]]:
        """Returns the answers, and figures about them.

        These are n_answers; n_annotated, which adds those that ties would have had; n_dropped_ties, golden
        ties and with merge=majority even votes; n_even_votes; and pairwise_agreement and fleiss_kappa of the
        votes for the response shown first and second.
        """
        gap = golden_gap(comparisons, pool)
        untied = np.flatnonzero(gap)
        drawn, gap = comparisons.take(untied), gap[untied]
        betas = self.betas if self.betas is not None else self._betas(np.abs(gap))
        prob = np.stack([_prob_right(np.abs(gap), beta) for beta in betas], axis=1)
        asked = self._asked(len(gap), rng)
        right = rng.random(prob.shape) < prob
        even = 2 * (right & asked).sum(axis=1) == asked.sum(axis=1)
        if self.merge == "rows":
            answered = _rows(drawn, pool, gap, asked, right, prob)
        else:
            answered = _merged(drawn, pool, gap, asked, right, prob, rng)
        n_ties = len(comparisons) - len(gap)
        if self.merge == "majority":
            answered = replace(answered.take(np.flatnonzero(~even)), share=np.ones(int((~even).sum())))
            n_ties += int(even.sum())
        first = right == (gap > 0)[:, None]
        votes = np.stack([(first & asked).sum(axis=1), (~first & asked).sum(axis=1)], axis=1)
        return answered, {
            "n_answers": float(asked.sum()),
            "n_annotated": float(len(comparisons) * (self.per_comparison or len(self.errors))),
            "n_even_votes": float(even.sum()),
            "n_dropped_ties": float(n_ties),
            "pairwise_agreement": pairwise_agreement(votes),
            "fleiss_kappa": fleiss_kappa(votes),
        }

    def settled(self, comparisons: Comparisons, pool: Pool) -> Crowd:
        """Returns the crowd with betas fixed to those that reach its error rates on these comparisons."""
        gap = np.abs(golden_gap(comparisons, pool))
        return replace(self, betas=self._betas(gap[gap > 0]))

    def _betas(self, size: np.ndarray) -> list[float | None]:
        """Returns each annotator's beta by its error rate, None for a rate of 0. size: [n] gaps > 0."""
        return [solve_beta(size, error) if error > 0 else None for error in self.errors]

    def _asked(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Draws which annotators answer which pair, [n, A] bool."""
        rank = np.argsort(rng.random((n, len(self.errors))), axis=1)
        return rank < (self.per_comparison or len(self.errors))


def _prob_right(size: np.ndarray, beta: float | None) -> np.ndarray:
    """Returns the probability of the right answer, [n]. size: [n] golden gaps > 0."""
    return np.ones(len(size)) if beta is None else expit(beta * size)


def _rows(
    drawn: Comparisons, pool: Pool, gap: np.ndarray, asked: np.ndarray, right: np.ndarray, prob: np.ndarray
) -> Comparisons:
    """Returns a comparison for each answer. gap: [n]; asked, right, prob: [n, A]."""
    row, annotator = np.nonzero(asked)
    prob = np.where(right, prob, 1 - prob)[asked]
    answered = answer_pairs(drawn.take(row), pool, gap[row], right[asked], prob)
    return replace(answered, annotator=annotator)


def _merged(
    drawn: Comparisons,
    pool: Pool,
    gap: np.ndarray,
    asked: np.ndarray,
    right: np.ndarray,
    prob: np.ndarray,
    rng: np.random.Generator,
) -> Comparisons:
    """Returns a comparison for each pair, in the order of the majority, or at random where votes are even.

    gap: [n]; asked, right, prob: [n, A].
    """
    share = (right & asked).sum(axis=1) / asked.sum(axis=1)
    mean = (prob * asked).sum(axis=1) / asked.sum(axis=1)
    majority = np.where(share == 0.5, rng.random(len(gap)) < 0.5, share > 0.5)
    answered = answer_pairs(drawn, pool, gap, majority, np.where(majority, mean, 1 - mean))
    return replace(answered, share=np.maximum(share, 1 - share))


def pairwise_agreement(votes: np.ndarray) -> float:
    """Returns the mean over comparisons of the probability that two of its annotators agree. votes: [n, 2].

    P_i = sum_j v_ij (v_ij - 1) / (v_i (v_i - 1)), v_i the number of votes on comparison i; those with one
    vote are left out, and without others the result is NaN.
    """
    votes = _answered_twice(votes)
    if not len(votes):
        return float("nan")
    total = votes.sum(axis=1)
    return float(((votes * (votes - 1)).sum(axis=1) / (total * (total - 1))).mean())


def fleiss_kappa(votes: np.ndarray) -> float:
    """Returns (P - E) / (1 - E): P the pairwise agreement, E = sum_j p_j^2, p_j the share of votes for j.

    It is 1 for full agreement, 0 for annotators who vote at random with those shares, and NaN where all votes
    are for one category or no comparison has two. Source: Fleiss 1971.
    """
    votes = _answered_twice(votes)
    if np.count_nonzero(votes.sum(axis=0)) < 2:
        return float("nan")
    by_chance = float(((votes.sum(axis=0) / votes.sum()) ** 2).sum())
    return (pairwise_agreement(votes) - by_chance) / (1 - by_chance)


def _answered_twice(votes: np.ndarray) -> np.ndarray:
    """The rows of comparisons with two votes or more."""
    votes = np.asarray(votes, dtype=np.int64)
    return votes[votes.sum(axis=1) >= 2]
