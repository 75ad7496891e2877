"""Any loss, with a pull of the scores of a comparison towards a sum of 0."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from rmlab.comparisons import Comparisons
from rmlab.losses.base import Diagnosing, Kinked, Loss


@dataclass(frozen=True)
class Centred:
    """loss + eta (sum_k s_k)^2, for a pair eta (s_w + s_l)^2; a set loss gets the mean over the batch.

    A loss of score differences leaves the level of each prompt free; this fixes it and moves no
    difference that the head can fit freely. It is unbounded, diagnoses and is rounded as the loss it wraps.
    Source: Eisenstein et al. 2023, "Helping or Herding?" (arXiv 2312.09244), for pairs;
    the sum over K responses is the same rule for longer comparisons.
    """

    loss: Loss
    eta: float = 0.01

    def __post_init__(self) -> None:
        if not 0 <= self.eta < math.inf:
            raise ValueError(f"centring is {self.eta}: use a number >= 0")
        if isinstance(self.loss, Diagnosing):  # of the object: without it, not Diagnosing
            object.__setattr__(self, "diagnose", self.loss.diagnose)
        if isinstance(self.loss, Kinked):
            inner = self.loss
            object.__setattr__(self, "rounded", lambda width: Centred(inner.rounded(width), self.eta))

    @property
    def unbounded(self) -> bool:
        return bool(getattr(self.loss, "unbounded", False))

    def __call__(self, scores: Tensor, comparisons: Comparisons) -> Tensor:
        """scores: [n, K] -> [n], or [] for a set loss."""
        losses = self.loss(scores, comparisons)
        pull = self.eta * scores.sum(dim=1).square()
        return losses + (pull if losses.ndim else pull.mean())
