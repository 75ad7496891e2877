"""The classification loss of a pair: preferred responses are one class, the others the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import logsigmoid

from rmlab.comparisons import Comparisons
from rmlab.losses.base import check_pair


@dataclass(frozen=True)
class Classification:
    """-log sigma(s_w) - log sigma(-s_l), an upper bound of the Bradley-Terry loss.

    It keeps the order but not the freedom to shift all scores of a prompt.
    Source: Sun, Shen & Ton 2025, "Rethinking Bradley-Terry Models" (arXiv 2411.04991).
    """

    name: ClassVar[str] = "classification"

    def __call__(self, scores: Tensor, comparisons: Comparisons) -> Tensor:
        """scores: [n, 2], the preferred response in column 0 -> [n]."""
        check_pair(scores, "classification")
        return -logsigmoid(scores[:, 0]) - logsigmoid(-scores[:, 1])
