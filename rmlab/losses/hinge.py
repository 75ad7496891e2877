"""The hinge loss of a pair."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rmlab.comparisons import Comparisons
from rmlab.losses.base import pair_margin


@dataclass(frozen=True)
class Hinge:
    """max(0, margin - m), m = s_w - s_l: pairs won by the margin no longer pull.

    Convex but with a kink at m = margin, where the gradient used is 0. At the optimum some pairs sit on it,
    so a linear head, which waits for a small gradient, minimises the loss of `rounded` instead.
    Source: Joachims 2002 (ranking SVM); Zhao et al. 2023, "SLiC-HF" (arXiv 2305.10425).
    """

    name: ClassVar[str] = "hinge"

    margin: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.margin < math.inf:
            raise ValueError(f"margin is {self.margin}: use a number > 0")

    def __call__(self, scores: Tensor, comparisons: Comparisons) -> Tensor:
        """scores: [n, 2], the preferred response in column 0 -> [n]."""
        return torch.relu(self.margin - pair_margin(scores, "hinge"))

    def rounded(self, width: float) -> RoundedHinge:
        """The same loss, smooth within width · margin / 2 of its kink."""
        return RoundedHinge(self.margin, width * self.margin)


@dataclass(frozen=True)
class RoundedHinge:
    """The hinge loss of u = margin - m with a parabola, (u + width/2)² / (2 width), where |u| < width/2.

    Value and slope are continuous, and it lies above the hinge loss by width/8 at most; so does its minimum,
    with or without a penalty.
    Source: Chapelle 2007, "Training a Support Vector Machine in the Primal", equation 2.8.
    """

    margin: float
    width: float

    def __call__(self, scores: Tensor, comparisons: Comparisons) -> Tensor:
        """scores: [n, 2], the preferred response in column 0 -> [n]."""
        u = self.margin - pair_margin(scores, "hinge")
        parabola = (u + self.width / 2).square() / (2 * self.width)
        return torch.where(u.abs() < self.width / 2, parabola, torch.relu(u))
