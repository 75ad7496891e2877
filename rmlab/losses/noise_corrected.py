"""The Bradley-Terry loss, corrected for answers that are flipped at a known rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import logsigmoid

from rmlab.comparisons import Comparisons
from rmlab.losses.base import pair_margin


@dataclass(frozen=True)
class NoiseCorrected:
    """[(1 - epsilon) (-log sigma(m)) - epsilon (-log sigma(-m))] / (1 - 2 epsilon), m = s_w - s_l.

    Its average over answers flipped at rate epsilon is the Bradley-Terry loss of the right answers.
    It equals -log sigma(m) - m epsilon / (1 - 2 epsilon): convex, but falling for ever in m, so on
    separable data there is no minimum without L2.
    Source: Natarajan et al. 2013, "Learning with Noisy Labels", lemma 1; Chowdhury, Kini & Natarajan
    2024 for preferences (arXiv 2403.00409).
    """

    name: ClassVar[str] = "noise_corrected"

    unbounded: ClassVar[bool] = True
    epsilon: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.epsilon < 0.5:
            raise ValueError(f"epsilon is {self.epsilon}: use a rate in [0, 0.5)")

    def __call__(self, scores: Tensor, comparisons: Comparisons) -> Tensor:
        """scores: [n, 2], the preferred response in column 0 -> [n]."""
        m = pair_margin(scores, "noise_corrected")
        given, flipped = -logsigmoid(m), -logsigmoid(-m)
        return ((1 - self.epsilon) * given - self.epsilon * flipped) / (1 - 2 * self.epsilon)
