"""The Bradley-Terry loss of a pair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import logsigmoid

from rmlab.comparisons import Comparisons
from rmlab.losses.base import pair_margin


@dataclass(frozen=True)
class BradleyTerry:
    """-log sigma(s_w - s_l), s_w the score of the preferred response and s_l of the other.

    Source: Bradley & Terry 1952; Christiano et al. 2017 for reward models.
    """

    name: ClassVar[str] = "bradley_terry"

    def __call__(self, scores: Tensor, comparisons: Comparisons) -> Tensor:
        """scores: [n, 2], the preferred response in column 0 -> [n]."""
        return -logsigmoid(pair_margin(scores, "bradley_terry"))
