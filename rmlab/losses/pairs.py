"""Losses of pairs: Bradley-Terry, classification, margins, label smoothing, noise correction, soft labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from rmlab.comparisons import Comparisons
from rmlab.losses.base import check_pair, pair_margin, shares


@dataclass(frozen=True)
class BradleyTerry:
    """-log sigma(s_w - s_l), s_w the score of the preferred response and s_l of the other.

    Source: Bradley & Terry 1952; Christiano et al. 2017 for reward models.
    """

    name: ClassVar[str] = "bradley_terry"

    def __call__(self, scores: Tensor, comparisons: Comparisons) -> Tensor:
        """scores: [n, 2], the preferred response in column 0 -> [n]."""
        return -logsigmoid(pair_margin(scores, "bradley_terry"))


@dataclass(frozen=True)
class Classification:
    """-log sigma(s_w) - log sigma(-s_l), an upper bound of the Bradley-Terry loss.

    Each response is classified by itself as winner or loser, so unlike Bradley-Terry it also fixes the level
    of the scores of a prompt.
    Source: Sun, Shen & Ton 2025, "Rethinking Bradley-Terry Models" (arXiv 2411.04991).
    """

    name: ClassVar[str] = "classification"

    def __call__(self, scores: Tensor, comparisons: Comparisons) -> Tensor:
        """scores: [n, 2], the preferred response in column 0 -> [n]."""
        check_pair(scores, "classification")
        return -logsigmoid(scores[:, 0]) - logsigmoid(-scores[:, 1])


@dataclass(frozen=True)
class Margin:
    """-log sigma(m - mu), m = s_w - s_l and mu = scale * comparisons.margin.

    A pair with a larger golden gap needs a larger score margin. With mu = 0 it is the Bradley-Terry loss, bit
    for bit.
    Source: Touvron et al. 2023, "Llama 2" (arXiv 2307.09288), section 3.2.2.
    """

    name: ClassVar[str] = "margin"

    scale: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.scale < math.inf:
            raise ValueError(f"scale is {self.scale}: use a number >= 0")

    def __call__(self, scores: Tensor, comparisons: Comparisons) -> Tensor:
        """scores: [n, 2], the preferred response in column 0 -> [n]."""
        mu = self.scale * scores.new_tensor(comparisons.margin)
        return -logsigmoid(pair_margin(scores, "margin") - mu)


@dataclass(frozen=True)
class Hinge:
    """max(0, margin - m), m = s_w - s_l: pairs that are won by the margin have no gradient.

    It is convex, with a kink at m = margin, where the gradient used is 0. At the optimum some pairs lie on
    the kink, so a linear head, which stops at a small gradient, minimises the loss of `rounded` instead.
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
        """Returns the hinge loss, smoothed within width · margin / 2 of its kink."""
        return RoundedHinge(self.margin, width * self.margin)


@dataclass(frozen=True)
class RoundedHinge:
    """The hinge loss of u = margin - m with a parabola, (u + width/2)² / (2 width), where |u| < width/2.

    Value and slope are continuous. It exceeds the hinge loss by width/8 at most, and so does its minimum,
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


@dataclass(frozen=True)
class NoiseCorrected:
    """[(1 - epsilon) (-log sigma(m)) - epsilon (-log sigma(-m))] / (1 - 2 epsilon), m = s_w - s_l.

    Its average over answers flipped at rate epsilon is the Bradley-Terry loss of the right answers.
    It equals -log sigma(m) - m epsilon / (1 - 2 epsilon): convex, but without a lower bound as m grows, so on
    separable data it has no minimum without L2.
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


@dataclass(frozen=True)
class SoftLabels:
    """p (-log sigma(m)) + (1 - p) (-log sigma(-m)), m = s_w - s_l, p = comparisons.share.

    p is the share of the pair's annotators who prefer the first response; the loss is the mean of the
    Bradley-Terry losses of their answers. With one annotator p = 1, and it is the Bradley-Terry loss, bit for
    bit.
    """

    name: ClassVar[str] = "soft_labels"

    def __call__(self, scores: Tensor, comparisons: Comparisons) -> Tensor:
        """scores: [n, 2], the preferred response in column 0 -> [n]."""
        m = pair_margin(scores, "soft_labels")
        share = shares(scores, comparisons, "soft_labels")
        return -share * logsigmoid(m) - (1 - share) * logsigmoid(-m)
