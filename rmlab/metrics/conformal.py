"""Abstention with a guarantee: conformal prediction sets over the two answers of a pair.

A pair's set holds each answer whose score is at most q behind the other's. One answer: the head decides.
Both: it abstains. q >= 0, so a set is never empty. With q the quantile of what calibration pairs needed for
the truth to be in their sets, the truth is in the set of a new pair with probability at least 1 - alpha,
whatever the head and whatever the data, so that the head decides wrongly in at most a share alpha of all
pairs.

What has to be exchangeable is prompts: pairs of one prompt share responses, so n pairs are not n
independent ones. So each of K calibration prompts has the weight 1/(K+1), shared by its pairs, and infinity
has the last 1/(K+1) (Lee, Barber & Willett 2023, hierarchical conformal prediction; one pair a prompt is
the split conformal of Vovk et al. 2005, with the ceil((K+1)(1-alpha))-th smallest). The guarantee is of a
random pair of a new prompt, on average over calibration sets. The temperature of a head changes no set,
since q scales with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rmlab.metrics.group_mean import ratio_parts


@dataclass(frozen=True)
class AnsweredPairs:
    """margin: [n] score of the first answer less that of the second; first: [n] share of annotators in [0, 1]
    who prefer the first; prompt: [n] int, the prompt of the pair."""

    margin: np.ndarray
    first: np.ndarray
    prompt: np.ndarray

    @property
    def weight(self) -> np.ndarray:
        """[n] one over the pairs of the prompt."""
        _, place, count = np.unique(self.prompt, return_inverse=True, return_counts=True)
        return 1 / count[place]


def threshold(pairs: AnsweredPairs, alpha: float) -> float:
    """q: by how much an answer may be behind and still be in the set; infinite where there are fewer than
    1/alpha - 1 prompts, too few to decide anything."""
    n_prompts = len(np.unique(pairs.prompt))
    behind = np.concatenate([-pairs.margin, pairs.margin])
    weight = np.concatenate([pairs.weight * pairs.first, pairs.weight * (1 - pairs.first)]) / (n_prompts + 1)
    order = np.argsort(behind, kind="stable")
    reached = np.cumsum(weight[order]) >= 1 - alpha - 1e-12
    return max(0.0, float(behind[order][np.argmax(reached)])) if reached.any() else np.inf


def outcomes(pairs: AnsweredPairs, q: float) -> np.ndarray:
    """[3, n] of each pair: how far its set holds the truth, whether it is decided, how far it is decided
    rightly; annotators who disagree count by their shares."""
    decided = np.abs(pairs.margin) > q
    agreed = np.where(pairs.margin > 0, pairs.first, 1 - pairs.first)
    right = np.where(decided, agreed, 0.0)
    return np.stack([np.where(decided, agreed, 1.0), decided.astype(float), right])


def prompt_outcomes(pairs: AnsweredPairs, q: float, n_prompts: int) -> dict[str, np.ndarray]:
    """Name -> [P], pairs' prompts being positions from 0 to P-1; NaN of prompts without pairs. The means over
    prompts are coverage, how often the truth is in the set; decided, the share of pairs with one answer in
    theirs; accuracy, how often the decided ones are right (NaN where none is)."""
    counted = np.bincount(pairs.prompt, minlength=n_prompts) > 0
    covered, decided, right = (
        np.where(counted, np.bincount(pairs.prompt, pairs.weight * values, n_prompts), np.nan)
        for values in outcomes(pairs, q)
    )
    return {"coverage": covered, "decided": decided, "accuracy": ratio_parts(right, decided, counted)}
