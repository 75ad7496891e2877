"""The Bradley-Terry loss with a scale for each comparison."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.special import expit
from torch import Tensor
from torch.nn.functional import logsigmoid

from rmlab.comparisons import Comparisons
from rmlab.losses.base import column, pair_margin


@dataclass(frozen=True)
class Adaptive:
    """min over tau in [tau_min, tau_max] of -tau log sigma(m / tau) + (rho - log 2) tau, m = s_w - s_l.

    The best tau is |m| / x clipped to the range, x the margin at which the answer is rho away from a
    coin, KL(sigma(x) || 1/2) = rho: clear pairs get a large scale, hence a larger margin. The loss is
    jointly convex in m and tau, so with the best tau it is convex in m; by the envelope theorem its
    gradient is that with tau held fixed, -sigma(-m / tau). rho >= log 2 gives tau = tau_min throughout.
    newton_steps: 0 for the closed form; k > 0 for k safeguarded Newton steps on tau from 1, the way of
    the paper, whose few steps leave tau, and so the gradient, approximate.
    Source: Hong et al. 2024, "Adaptive Preference Scaling for RLHF" (arXiv 2406.02764); closed form our own.
    """

    name: ClassVar[str] = "adaptive"

    tau_min: float = 0.1
    tau_max: float = 4.0
    rho: float = 0.1
    newton_steps: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.tau_min <= self.tau_max < math.inf:
            raise ValueError(f"tau is in [{self.tau_min}, {self.tau_max}]: use 0 < tau_min <= tau_max")
        if not 0 < self.rho < math.inf:
            raise ValueError(f"rho is {self.rho}: use a number > 0")
        if self.newton_steps < 0:
            raise ValueError(f"newton_steps is {self.newton_steps}: use 0 (closed form) or more")

    def __call__(self, scores: Tensor, comparisons: Comparisons) -> Tensor:
        """scores: [n, 2], the preferred response in column 0 -> [n]."""
        m = pair_margin(scores, "adaptive")
        tau = self._scale(m.detach())
        return -tau * logsigmoid(m / tau) + (self.rho - math.log(2)) * tau

    def diagnose(self, scores: Tensor, comparisons: Comparisons) -> dict[str, np.ndarray]:
        """scores: [n, 2] -> scale, the tau of each comparison, [n]."""
        return {"scale": column(self._scale(pair_margin(scores, "adaptive").detach()))}

    def _scale(self, m: Tensor) -> Tensor:
        """m: [n] -> tau [n]."""
        if self.newton_steps:
            return self._newton(m.abs())
        return (m.abs() / _coin_margin(self.rho)).clamp(self.tau_min, self.tau_max)

    def _newton(self, size: Tensor) -> Tensor:
        """size: [n] = |m| -> tau [n]; a step that leaves the bracket halves it instead.

        The slope in tau, H(sigma(x)) + rho - log 2 with x = |m| / tau, grows with tau.
        """
        low, high = torch.full_like(size, self.tau_min), torch.full_like(size, self.tau_max)
        smallest, largest = self._slope(size, low) >= 0, self._slope(size, high) <= 0
        tau = torch.ones_like(size).clamp(self.tau_min, self.tau_max)
        for _ in range(self.newton_steps):
            x, slope = size / tau, self._slope(size, tau)
            low, high = torch.where(slope < 0, tau, low), torch.where(slope < 0, high, tau)
            step = tau - slope * tau / (x.square() * torch.sigmoid(x) * torch.sigmoid(-x))
            tau = torch.where((step >= low) & (step <= high), step, (low + high) / 2)
        tau = torch.where(largest, self.tau_max, tau)
        return torch.where(smallest, self.tau_min, tau)

    def _slope(self, size: Tensor, tau: Tensor) -> Tensor:
        x = size / tau
        return x * torch.sigmoid(-x) - logsigmoid(x) + (self.rho - math.log(2))


@lru_cache
def _coin_margin(rho: float) -> float:
    """x > 0 with H(sigma(x)) = log 2 - rho, H the binary entropy; infinite from rho = log 2 on."""
    entropy = math.log(2) - rho
    if entropy <= 0:
        return math.inf
    x = brentq(lambda x: np.log1p(np.exp(-x)) + x * expit(-x) - entropy, 0.0, 750.0)
    return max(x, math.sqrt(8 * rho))  # a lower bound, near enough where the entropy is too flat to solve
