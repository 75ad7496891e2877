"""Squared error to the golden reward: a ceiling for learning from comparisons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from rmlab.comparisons import Comparisons
from rmlab.errors import InputError


@dataclass(frozen=True)
class Regression:
    """mean_k (s_k - golden_k)^2 over the K responses of a comparison, whatever the answer was.

    It reads the golden reward, which no annotator gives: not a method, but the ceiling to hold methods
    against.
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
