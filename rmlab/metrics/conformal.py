"""Abstention with a guarantee: conformal prediction sets over the two answers of a pair.

The set of a pair holds each answer whose score is at most q behind the other's. With one answer in it the
head decides; with both it abstains. q >= 0, so a set is never empty. If q is the quantile of what calibration
pairs needed for the truth to be in their sets, the truth is in the set of a new pair with probability at
least 1 - alpha, for any head and any data, so the head decides wrongly in at most a share alpha of all pairs.

The prompts, not the pairs, must be exchangeable: pairs of one prompt share responses and are not independent.
So each of K calibration prompts has the weight 1/(K+1), divided among its pairs, and infinity has the last
1/(K+1) (Lee, Barber & Willett 2023, hierarchical conformal prediction; with one pair for each prompt it is
the split conformal prediction of Vovk et al. 2005, with the ceil((K+1)(1-alpha))-th smallest). The guarantee
holds for a random pair of a new prompt, on average over calibration sets. The temperature of a head does not
change any set, since q scales with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rmlab.metrics.group_mean import ratio_parts


@dataclass(frozen=True)
class AnsweredPairs:
    """Pairs with answers of annotators.

    margin: [n] score of the first answer less that of the second; first: [n] share of annotators in [0, 1]
    who prefer the first; prompt: [n] int, the prompt of the pair.
    """

    margin: np.ndarray
    first: np.ndarray
    prompt: np.ndarray

    @property
    def weight(self) -> np.ndarray:
        """One over the number of pairs of the prompt, [n]."""
        _, place, count = np.unique(self.prompt, return_inverse=True, return_counts=True)
        return 1 / count[place]


def threshold(pairs: AnsweredPairs, alpha: float) -> float:
    """Returns q, by how much an answer may be behind and still be in the set.

    It is infinite with fewer than 1/alpha - 1 prompts, too few to decide anything.
    """
    n_prompts = len(np.unique(pairs.prompt))
    behind = np.concatenate([-pairs.margin, pairs.margin])
    weight = np.concatenate([pairs.weight * pairs.first, pairs.weight * (1 - pairs.first)]) / (n_prompts + 1)
    order = np.argsort(behind, kind="stable")
    reached = np.cumsum(weight[order]) >= 1 - alpha - 1e-12
    return max(0.0, float(behind[order][np.argmax(reached)])) if reached.any() else np.inf


def outcomes(pairs: AnsweredPairs, q: float) -> np.ndarray:
    """Returns for each pair, [3, n], whether its set holds the truth, if it is decided, and if rightly.

    Where annotators disagree, the first and the last are the shares of those for whom it is so.
    """
    decided = np.abs(pairs.margin) > q
    agreed = np.where(pairs.margin > 0, pairs.first, 1 - pairs.first)
    right = np.where(decided, agreed, 0.0)
    return np.stack([np.where(decided, agreed, 1.0), decided.astype(float), right])


def prompt_outcomes(pairs: AnsweredPairs, q: float, n_prompts: int) -> dict[str, np.ndarray]:
    """Returns values of each prompt, name -> [P], NaN for prompts without pairs.

    The prompts of pairs are positions from 0 to P-1. The means over prompts are `coverage`, how often the
    truth is in the set; `decided`, the share of pairs with one answer in their set; and `accuracy`, how often
    decided pairs are right (NaN without any).
    """
    counted = np.bincount(pairs.prompt, minlength=n_prompts) > 0
    covered, decided, right = (
        np.where(counted, np.bincount(pairs.prompt, pairs.weight * values, n_prompts), np.nan)
        for values in outcomes(pairs, q)
    )
    return {"coverage": covered, "decided": decided, "accuracy": ratio_parts(right, decided, counted)}
