"""Losses of lists of K responses: the choice of the best, Plackett-Luce rankings, all pairs of a ranking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, logsigmoid

from rmlab.comparisons import Comparisons
from rmlab.losses.base import check_list, check_ranking


@dataclass(frozen=True)
class Choice:
    """-log softmax(s_1 .. s_K) at the chosen response, which comes first.

    The order of the others is not read, so it takes choices, rankings and pairs, for which it is the
    Bradley-Terry loss.
    Source: Ziegler et al. 2019 (arXiv 1909.08593), equation 1; Luce 1959.
    """

    name: ClassVar[str] = "choice"

    def __call__(self, scores: Tensor, comparisons: Comparisons) -> Tensor:
        """scores: [n, K], the chosen response in column 0 -> [n]."""
        check_list(scores, "choice")
        return -log_softmax(scores, dim=1)[:, 0]


@dataclass(frozen=True)
class PlackettLuce:
    """-sum_{k < K} [s_(k) - logsumexp_{j >= k} s_(j)]: the best is chosen of all, then the best of the rest.

    This is the maximum-likelihood loss of rankings; for 2 responses it is the Bradley-Terry loss.
    Source: Luce 1959; Plackett 1975.
    """

    name: ClassVar[str] = "plackett_luce"

    def __call__(self, scores: Tensor, comparisons: Comparisons) -> Tensor:
        """scores: [n, K], best response first -> [n]."""
        check_ranking(scores, comparisons, "plackett_luce")
        places = range(scores.shape[1] - 1)
        return -torch.stack([log_softmax(scores[:, k:], dim=1)[:, 0] for k in places]).sum(dim=0)


@dataclass(frozen=True)
class AllPairs:
    """mean over i < j of -log sigma(s_(i) - s_(j)), the C(K, 2) pairs of a ranking.

    A ranking counts as one comparison, whatever its K. On Plackett-Luce rankings it finds the same
    scores as the Plackett-Luce loss, but with a higher variance: the pairs of a list are not independent.
    Source: Ouyang et al. 2022, "InstructGPT" (arXiv 2203.02155), equation 1.
    """

    name: ClassVar[str] = "all_pairs"

    def __call__(self, scores: Tensor, comparisons: Comparisons) -> Tensor:
        """scores: [n, K], best response first -> [n]."""
        check_ranking(scores, comparisons, "all_pairs")
        k = scores.shape[1]
        better, worse = torch.triu_indices(k, k, offset=1, device=scores.device)
        return -logsigmoid(scores[:, better] - scores[:, worse]).mean(dim=1)
