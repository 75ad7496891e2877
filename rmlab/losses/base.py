"""A loss is a pure function of the scores of the compared responses."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from rmlab.comparisons import Comparisons


class Loss(Protocol):
    def __call__(self, scores: Tensor, comparisons: Comparisons) -> Tensor:
        """scores: [n, K], the preferred response in column 0; returns the loss of each comparison, [n].

        A set loss, which compares all the scores of a batch at once, returns one value, [].
        """
        ...


@runtime_checkable
class Diagnosing(Protocol):
    """A loss that also says something about each comparison, once a head is fitted."""

    def diagnose(self, scores: Tensor, comparisons: Comparisons) -> dict[str, np.ndarray]:
        """scores: [n, K] of the fitted head -> named columns of [n] float64."""
        ...
