"""The Bradley-Terry loss with an outlier term for each comparison: corrupted answers lose their pull."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from rmlab.comparisons import Comparisons
from rmlab.losses.base import column, pair_margin


@dataclass(frozen=True)
class RobustBtl:
    """min over delta >= 0 of -log sigma(m + delta) + lam delta, m = s_w - s_l.

    The best delta is max(t - m, 0), t = log(1/lam - 1); with it the loss is -log sigma(m) where m >= t,
    and -log sigma(t) + lam (t - m) below. So it is the Bradley-Terry loss with the slope capped at lam,
    d/dm = -min(1 - sigma(m), lam): convex with a continuous gradient. lam >= 1 caps nothing (plain
    Bradley-Terry, bit for bit); under 1/2 the cap also holds at m = 0, so every pair starts as an outlier.
    lam is the price of each comparison: the paper's equation 3.3, not a total price as in its 3.2.
    Source: Bukharin et al. 2024, "Robust Reinforcement Learning from Corrupted Human Feedback" (R3M,
    arXiv 2406.15568).
    """

    name: ClassVar[str] = "robust_btl"

    lam: float = 0.75

    def __post_init__(self) -> None:
        if not 0 < self.lam < math.inf:
            raise ValueError(f"lam is {self.lam}: use a number > 0 (below 1; from 1 on it is bradley_terry)")

    @property
    def threshold(self) -> float:
        """t: margins below it are outliers; there are none from lam = 1 on."""
        return math.log1p(-self.lam) - math.log(self.lam) if self.lam < 1 else -math.inf

    def __call__(self, scores: Tensor, comparisons: Comparisons) -> Tensor:
        """scores: [n, 2], the preferred response in column 0 -> [n]."""
        m = pair_margin(scores, "robust_btl")
        if self.lam >= 1:
            return -logsigmoid(m)
        # m + delta is max(m, t): constant for outliers, so that their gradient is that of lam * delta.
        return self.lam * torch.relu(self.threshold - m) - logsigmoid(m.clamp(min=self.threshold))

    def diagnose(self, scores: Tensor, comparisons: Comparisons) -> dict[str, np.ndarray]:
        """scores: [n, 2] -> delta, outlier (1 where delta > 0, else 0) and margin m, [n] each."""
        m = pair_margin(scores, "robust_btl")
        delta = column(torch.relu(self.threshold - m))
        return {"delta": delta, "outlier": (delta > 0).astype(np.float64), "margin": column(m)}
