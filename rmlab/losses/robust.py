"""Losses of pairs for noisy answers: robust Bradley-Terry, adaptive scaling, and distributional (AOT)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.special import expit
from torch import Tensor
from torch.nn.functional import logsigmoid

from rmlab.comparisons import Comparisons
from rmlab.errors import InputError
from rmlab.losses.base import as_float64, check_pair, pair_margin


@dataclass(frozen=True)
class RobustBtl:
    """min over delta >= 0 of -log sigma(m + delta) + lam delta, m = s_w - s_l.

    The best delta is max(t - m, 0), t = log(1/lam - 1); with it the loss is -log sigma(m) where m >= t,
    and -log sigma(t) + lam (t - m) below. So it is the Bradley-Terry loss with the slope capped at lam,
    d/dm = -min(1 - sigma(m), lam): convex with a continuous gradient. With lam >= 1 nothing is capped (plain
    Bradley-Terry, bit for bit); with lam < 1/2 even m = 0 is capped, so every pair starts as an outlier.
    lam is the price for each comparison, as in the paper's equation 3.3, not for their sum as in its 3.2.
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
        """The margin t below which a pair counts as an outlier; with lam >= 1 there are no outliers."""
        return math.log1p(-self.lam) - math.log(self.lam) if self.lam < 1 else -math.inf

    def __call__(self, scores: Tensor, comparisons: Comparisons) -> Tensor:
        """scores: [n, 2], the preferred response in column 0 -> [n]."""
        m = pair_margin(scores, "robust_btl")
        if self.lam >= 1:
            return -logsigmoid(m)
        # m + delta is max(m, t): constant for outliers, so that their gradient is that of lam * delta.
        return self.lam * torch.relu(self.threshold - m) - logsigmoid(m.clamp(min=self.threshold))

    def diagnose(self, scores: Tensor, comparisons: Comparisons) -> dict[str, np.ndarray]:
        """scores: [n, 2] -> `delta`, `outlier` (1 where delta > 0, else 0) and `margin` m, [n] each."""
        m = pair_margin(scores, "robust_btl")
        delta = as_float64(torch.relu(self.threshold - m))
        return {"delta": delta, "outlier": (delta > 0).astype(np.float64), "margin": as_float64(m)}


@dataclass(frozen=True)
class Adaptive:
    """min over tau in [tau_min, tau_max] of -tau log sigma(m / tau) + (rho - log 2) tau, m = s_w - s_l.

    The best tau is |m| / x clipped to the range, where x is the margin whose answer has the divergence rho
    from a fair coin, KL(sigma(x) || 1/2) = rho. So clear pairs get a large scale, hence a larger margin. The
    loss is jointly convex in m and tau, so with the best tau it is convex in m; by the envelope theorem its
    gradient is that with tau held fixed, -sigma(-m / tau). rho >= log 2 gives tau = tau_min for all pairs.
    newton_steps: 0 for the closed form; k > 0 for k safeguarded Newton steps on tau from 1, as in the paper,
    which leave tau, and so the gradient, approximate.
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
        """scores: [n, 2] -> `scale`, the tau of each comparison, [n]."""
        return {"scale": as_float64(self._scale(pair_margin(scores, "adaptive").detach()))}

    def _scale(self, m: Tensor) -> Tensor:
        """Returns the tau of each margin. m: [n] -> [n]."""
        if self.newton_steps:
            return self._newton(m.abs())
        return (m.abs() / _coin_margin(self.rho)).clamp(self.tau_min, self.tau_max)

    def _newton(self, size: Tensor) -> Tensor:
        """Finds tau [n] by Newton steps, size = |m| [n]; a step that leaves the bracket bisects it instead.

        The slope of the loss in tau, H(sigma(x)) + rho - log 2 with x = |m| / tau, increases with tau.
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
        """The derivative of the loss by tau, [n]."""
        x = size / tau
        return x * torch.sigmoid(-x) - logsigmoid(x) + (self.rho - math.log(2))


@lru_cache
def _coin_margin(rho: float) -> float:
    """Returns x > 0 with H(sigma(x)) = log 2 - rho, H the binary entropy; infinity for rho >= log 2."""
    entropy = math.log(2) - rho
    if entropy <= 0:
        return math.inf
    x = brentq(lambda x: np.log1p(np.exp(-x)) + x * expit(-x) - entropy, 0.0, 750.0)
    # The root is a lower bound, and exact enough where the entropy is too flat for the solver.
    return max(x, math.sqrt(8 * rho))


@dataclass(frozen=True)
class Distributional:
    """mean_i h(u_(i) - v_(i)), u_(i) and v_(i) the sorted scores of preferred and of other responses.

    order: first compares the sorted scores; second compares their running sums / n, a weaker requirement.
    penalty h(x): logistic log(1 + e^(-beta x)), squared_hinge max(beta - x, 0)^2 or
    least_squares (beta - x)^2. First order is the least cost of any matching of the two sets under h;
    for a single pair it is the pairwise loss. A minimum over matchings is not convex: linear heads find a
    local optimum, which is the same from the same start.
    The loss does not see which response answers which prompt, so a head can lower it by ranking prompts
    instead of responses: judge it by its accuracy within prompts, and fix their level with centring.
    Source: Melnyk et al. 2024, "Distributional Preference Alignment of LLMs via Optimal Transport" (AOT,
    arXiv 2406.05882), there for policies.
    """

    name: ClassVar[str] = "distributional"

    order: Literal["first", "second"] = "first"
    penalty: Literal["logistic", "squared_hinge", "least_squares"] = "logistic"
    beta: float = 1.0

    def __post_init__(self) -> None:
        if self.order not in ("first", "second"):
            raise ValueError(f"order is {self.order!r}: use first or second")
        if self.penalty not in ("logistic", "squared_hinge", "least_squares"):
            raise ValueError(f"penalty is {self.penalty!r}: use logistic, squared_hinge or least_squares")
        if not 0 < self.beta < math.inf:
            raise ValueError(f"beta is {self.beta}: use a number > 0")

    def __call__(self, scores: Tensor, comparisons: Comparisons) -> Tensor:
        """scores: [n, 2], preferred responses in column 0 -> []."""
        check_pair(scores, "distributional")
        if np.ptp(comparisons.weight) > 0:
            raise InputError(
                "distributional sorts all scores together and takes no weights: "
                "give all comparisons the same weight, or use loss=bradley_terry"
            )
        ordered = torch.sort(scores, dim=0, stable=True).values
        if self.order == "second":
            ordered = ordered.cumsum(dim=0) / len(ordered)
        return self._penalty(ordered[:, 0] - ordered[:, 1]).mean()

    def _penalty(self, x: Tensor) -> Tensor:
        if self.penalty == "logistic":
            return -logsigmoid(self.beta * x)
        gap = self.beta - x
        return (torch.relu(gap) if self.penalty == "squared_hinge" else gap).square()
