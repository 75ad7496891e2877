"""A loss is a pure function of the scores of the compared responses."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from rmlab.comparisons import Comparisons


class Loss(Protocol):
    def __call__(self, scores: Tensor, comparisons: Comparisons) -> Tensor:
        """scores: [n, K], the preferred response in column 0; returns the loss of each comparison, [n]."""
        ...
