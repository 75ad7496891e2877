"""How far annotators agree, from a table of votes.

votes: [n, C] counts of the annotators who put comparison i into category j; rows may have different
totals, and those with fewer than two votes say nothing about agreement and are left out.
"""

from __future__ import annotations

import numpy as np


def pairwise_agreement(votes: np.ndarray) -> float:
    """Chance that two annotators of a comparison, drawn at random, agree; the mean over comparisons.

    P_i = sum_j v_ij (v_ij - 1) / (v_i (v_i - 1)), v_i the votes of comparison i; NaN without two votes.
    """
    votes = _answered_twice(votes)
    if not len(votes):
        return float("nan")
    total = votes.sum(axis=1)
    return float(((votes * (votes - 1)).sum(axis=1) / (total * (total - 1))).mean())


def fleiss_kappa(votes: np.ndarray) -> float:
    """(P - E) / (1 - E): P the pairwise agreement, E = sum_j p_j^2, p_j the share of votes for j.

    1 for full agreement, 0 for that of annotators who vote at random with those shares; NaN where all
    votes are for one category or no comparison has two. Source: Fleiss 1971.
    """
    votes = _answered_twice(votes)
    if np.count_nonzero(votes.sum(axis=0)) < 2:
        return float("nan")
    by_chance = float(((votes.sum(axis=0) / votes.sum()) ** 2).sum())
    return (pairwise_agreement(votes) - by_chance) / (1 - by_chance)


def _answered_twice(votes: np.ndarray) -> np.ndarray:
    votes = np.asarray(votes, dtype=np.int64)
    return votes[votes.sum(axis=1) >= 2]
