"""The Bradley-Terry loss of all pairs of a ranking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from rmlab.comparisons import Comparisons
from rmlab.losses.base import check_ranking


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
