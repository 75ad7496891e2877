"""A set loss: the scores of preferred responses dominate those of the others as a distribution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from rmlab.comparisons import Comparisons
from rmlab.errors import InputError
from rmlab.losses.base import check_pair


@dataclass(frozen=True)
class Distributional:
    """mean_i h(u_(i) - v_(i)), u_(i) and v_(i) the sorted scores of preferred and of other responses.

    order: first compares the sorted scores; second compares their running sums / n, which asks less.
    penalty h(x): logistic log(1 + e^(-beta x)), squared_hinge max(beta - x, 0)^2 or
    least_squares (beta - x)^2. First order is the least cost of any matching of the two sets under h;
    one pair alone is the pairwise loss. A minimum over matchings is not convex: linear heads find a
    local optimum, the same from the same start.
    Which response answers which prompt is not read, so it can be met by ranking prompts instead of
    responses: judge such a head by its accuracy within prompts, and fix their level with centring.
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
