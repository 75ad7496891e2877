"""The hinge loss of a pair."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from rmlab.comparisons import Comparisons
from rmlab.losses.base import pair_margin


@dataclass(frozen=True)
class Hinge:
    """max(0, margin - m), m = s_w - s_l: pairs won by the margin no longer pull.

    Convex but with a kink at m = margin, where the gradient used is 0: at the optimum some pairs sit on
    it, so a solver that waits for a small gradient never stops.
    Source: Joachims 2002 (ranking SVM); Zhao et al. 2023, "SLiC-HF" (arXiv 2305.10425).
    """

    margin: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.margin < math.inf:
            raise ValueError(f"margin is {self.margin}: use a number > 0")

    def __call__(self, scores: Tensor, comparisons: Comparisons) -> Tensor:
        """scores: [n, 2], the preferred response in column 0 -> [n]."""
        return torch.relu(self.margin - pair_margin(scores, "hinge"))
