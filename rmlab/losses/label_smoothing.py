"""The Bradley-Terry loss with smoothed labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import logsigmoid

from rmlab.comparisons import Comparisons
from rmlab.losses.base import pair_margin


@dataclass(frozen=True)
class LabelSmoothing:
    """(1 - epsilon) (-log sigma(m)) + epsilon (-log sigma(-m)), m = s_w - s_l.

    Every answer counts as wrong with probability epsilon, so even a pair that is always won has the
    finite best margin log((1 - epsilon) / epsilon).
    Source: Szegedy et al. 2016 (arXiv 1512.00567), for the two classes of a pair.
    """

    name: ClassVar[str] = "label_smoothing"

    epsilon: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.epsilon < 0.5:
            raise ValueError(f"epsilon is {self.epsilon}: use a rate in [0, 0.5)")

    def __call__(self, scores: Tensor, comparisons: Comparisons) -> Tensor:
        """scores: [n, 2], the preferred response in column 0 -> [n]."""
        m = pair_margin(scores, "label_smoothing")
        return -(1 - self.epsilon) * logsigmoid(m) - self.epsilon * logsigmoid(-m)
