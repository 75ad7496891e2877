"""Losses of single responses: classification as desirable or not, and regression on the golden reward."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor
from torch.nn.functional import logsigmoid

from rmlab.comparisons import Comparisons
from rmlab.errors import ConfigError, InputError
from rmlab.losses.base import shares


@dataclass(frozen=True)
class UnpairedLoss:
    """w_d p (-log sigma(s)) + w_u (1 - p) (-log sigma(-s)), s the score of one response.

    p = comparisons.share is 1 for a response found desirable, 0 for an undesirable one, or the share of
    annotators who found it desirable; w_d, w_u: the weights of the two classes, for instance to balance them.
    The losses of a pair's responses, with p = 1 and p = 0, add up to its classification loss.
    Source: logistic regression; class weights as in Ethayarajh et al. 2024, "KTO" (arXiv 2402.01306).
    """

    name: ClassVar[str] = "unpaired"

    desirable_weight: float = 1.0
    undesirable_weight: float = 1.0

    def __post_init__(self) -> None:
        for name in ("desirable_weight", "undesirable_weight"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}: use a number > 0")

    def __call__(self, scores: Tensor, comparisons: Comparisons) -> Tensor:
        """scores: [n, 1] -> [n]."""
        if scores.shape[1] != 1:
            raise ConfigError(
                f"unpaired judges 1 response at a time, not {scores.shape[1]}: "
                "use pairing=unpaired, or loss=classification"
            )
        share, s = shares(scores, comparisons, "unpaired"), scores[:, 0]
        desirable, undesirable = -share * logsigmoid(s), -(1 - share) * logsigmoid(-s)
        return self.desirable_weight * desirable + self.undesirable_weight * undesirable


@dataclass(frozen=True)
class Regression:
    """mean_k (s_k - golden_k)^2 over the K responses of a comparison; answers are not read.

    It reads the golden reward, which no annotator gives, so it is not a method but the upper bound to compare
    methods with.
    """

    name: ClassVar[str] = "regression"

    def __call__(self, scores: Tensor, comparisons: Comparisons) -> Tensor:
        """scores: [n, K] -> [n]; comparisons.golden: [n, K]."""
        if not np.isfinite(comparisons.golden).all():
            raise InputError(
                "regression needs the golden reward of every compared response: "
                "annotate the responses again, or use loss=bradley_terry"
            )
        return (scores - scores.new_tensor(comparisons.golden)).square().mean(dim=1)
