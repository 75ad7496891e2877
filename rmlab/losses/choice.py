"""The softmax loss of one response chosen among K."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import log_softmax

from rmlab.comparisons import Comparisons
from rmlab.losses.base import check_list


@dataclass(frozen=True)
class Choice:
    """-log softmax(s_1 .. s_K) at the chosen response, the first; the order of the rest is not read.

    So it takes choices, and pairs (where it is the Bradley-Terry loss) and rankings too.
    Source: Ziegler et al. 2019 (arXiv 1909.08593), equation 1; Luce 1959.
    """

    name: ClassVar[str] = "choice"

    def __call__(self, scores: Tensor, comparisons: Comparisons) -> Tensor:
        """scores: [n, K], the chosen response in column 0 -> [n]."""
        check_list(scores, "choice")
        return -log_softmax(scores, dim=1)[:, 0]
