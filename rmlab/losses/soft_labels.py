"""The Bradley-Terry loss of the share of annotators who gave an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import logsigmoid

from rmlab.comparisons import Comparisons
from rmlab.losses.base import pair_margin, shares


@dataclass(frozen=True)
class SoftLabels:
    """p (-log sigma(m)) + (1 - p) (-log sigma(-m)), m = s_w - s_l, p = comparisons.share.

    One pair with a share of n annotators counts as n pairs of weight 1/n, an answer each. Where one
    annotator answered, p = 1 and it is the Bradley-Terry loss, bit for bit.
    """

    name: ClassVar[str] = "soft_labels"

    def __call__(self, scores: Tensor, comparisons: Comparisons) -> Tensor:
        """scores: [n, 2], the preferred response in column 0 -> [n]."""
        m = pair_margin(scores, "soft_labels")
        share = shares(scores, comparisons, "soft_labels")
        return -share * logsigmoid(m) - (1 - share) * logsigmoid(-m)
