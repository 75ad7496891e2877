"""Losses of comparisons of K responses: choices and rankings, single responses, and regression."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import log_softmax, logsigmoid

from rmlab.comparisons import Comparisons
from rmlab.errors import ConfigError, InputError
from rmlab.losses.base import check_list, check_ranking, shares


@dataclass(frozen=True)
class Choice:
    """-log softmax(s_1 .. s_K) at the chosen response, which comes first.

    The order of the others is not read, so it takes choices, rankings and pairs, for which it is the
    Bradley-Terry loss.
    Source: Ziegler et al. 2019 (arXiv 1909.08593), equation 1; Luce 1959.
    """

    name: ClassVar[str] = "choice"

    def __call__(self, scores: Tensor, comparisons: Comparisons) -> Tensor:
        """scores: [n, K], the chosen response in column 0 -> [n]."""
        check_list(scores, "choice")
        return -log_softmax(scores, dim=1)[:, 0]


@dataclass(frozen=True)
class PlackettLuce:
    """-sum_{k < K} [s_(k) - logsumexp_{j >= k} s_(j)]: the best is chosen of all, then the best of the rest.

    This is the maximum-likelihood loss of rankings; for 2 responses it is the Bradley-Terry loss.
    Source: Luce 1959; Plackett 1975.
    """

    name: ClassVar[str] = "plackett_luce"

    def __call__(self, scores: Tensor, comparisons: Comparisons) -> Tensor:
        """scores: [n, K], best response first -> [n]."""
        check_ranking(scores, comparisons, "plackett_luce")
        places = range(scores.shape[1] - 1)
        return -torch.stack([log_softmax(scores[:, k:], dim=1)[:, 0] for k in places]).sum(dim=0)


@dataclass(frozen=True)
class AllPairs:
    """mean over i < j of -log sigma(s_(i) - s_(j)), the C(K, 2) pairs of a ranking.

    A ranking counts as one comparison, whatever its K. On Plackett-Luce rankings it finds the same
    scores as the Plackett-Luce loss, but with a higher variance: the pairs of a list are not independent.
    Source: Ouyang et al. 2022, "InstructGPT" (arXiv 2203.02155), equation 1.
    """

    name: ClassVar[str] = "all_pairs"

    def __call__(self, scores: Tensor, comparisons: Comparisons) -> Tensor:
        """scores: [n, K], best response first -> [n]."""
        check_ranking(scores, comparisons, "all_pairs")
        k = scores.shape[1]
        better, worse = torch.triu_indices(k, k, offset=1, device=scores.device)
        return -logsigmoid(scores[:, better] - scores[:, worse]).mean(dim=1)


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
