"""The Bradley-Terry loss with a margin that grows with the golden gap."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import logsigmoid

from rmlab.comparisons import Comparisons
from rmlab.losses.base import pair_margin


@dataclass(frozen=True)
class Margin:
    """-log sigma(m - mu), m = s_w - s_l and mu = scale * comparisons.margin: clear wins must be won clearly.

    With mu = 0 it is the Bradley-Terry loss, bit for bit.
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
