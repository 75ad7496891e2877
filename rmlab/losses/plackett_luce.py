"""The Plackett-Luce loss of a ranking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from rmlab.comparisons import Comparisons
from rmlab.losses.base import check_ranking


@dataclass(frozen=True)
class PlackettLuce:
    """-sum_{k < K} [s_(k) - logsumexp_{j >= k} s_(j)]: the best is chosen of all, then the best of the rest.

    The maximum-likelihood loss of rankings; of 2 responses it is the Bradley-Terry loss.
    Source: Luce 1959; Plackett 1975.
    """

    name: ClassVar[str] = "plackett_luce"

    def __call__(self, scores: Tensor, comparisons: Comparisons) -> Tensor:
        """scores: [n, K], best response first -> [n]."""
        check_ranking(scores, comparisons, "plackett_luce")
        places = range(scores.shape[1] - 1)
        return -torch.stack([log_softmax(scores[:, k:], dim=1)[:, 0] for k in places]).sum(dim=0)
