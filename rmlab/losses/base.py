"""Losses: what one is (Loss, Diagnosing), and the centring penalty that can be added to any of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from rmlab.comparisons import Comparisons
from rmlab.errors import ConfigError, InputError


class Loss(Protocol):
    """A loss without a lower bound says so with a class attribute `unbounded = True`: it needs L2 > 0."""

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


@runtime_checkable
class Kinked(Protocol):
    """A loss with kinks, at which no gradient vanishes."""

    def rounded(self, width: float) -> Loss:
        """A smooth loss that differs from this one only near the kinks; width: as a share of its scale."""
        ...


def check_pair(scores: Tensor, name: str) -> None:
    """Refuses scores [n, K] unless K = 2; name: of the loss, as it is typed."""
    k = scores.shape[1]
    if k != 2:
        other = "loss=unpaired" if k < 2 else "loss=choice, plackett_luce or all_pairs"
        raise ConfigError(
            f"{name} compares 2 responses, not {k}: use pairing=same_prompt or cross_prompt, or {other}"
        )


def check_list(scores: Tensor, name: str) -> None:
    """Refuses scores [n, K] unless K >= 2."""
    k = scores.shape[1]
    if k < 2:
        raise ConfigError(
            f"{name} compares 2 or more responses, not {k}: use pairing=lists, or loss=unpaired"
        )


def check_ranking(scores: Tensor, comparisons: Comparisons, name: str) -> None:
    """Refuses scores [n, K] unless K >= 2, best first: of a choice only the first place is known."""
    check_list(scores, name)
    if comparisons.kind == "choice":
        raise ConfigError(
            f"{name} needs whole rankings, but these are choices: use loss=choice or pairing.answer=ranking"
        )


def pair_margin(scores: Tensor, name: str) -> Tensor:
    """m = s_w - s_l of scores [n, 2] -> [n]."""
    check_pair(scores, name)
    return scores[:, 0] - scores[:, 1]


def shares(scores: Tensor, comparisons: Comparisons, name: str) -> Tensor:
    """comparisons.share like the scores, [n], refused unless all are in [0, 1]."""
    share = comparisons.share
    if not ((share >= 0) & (share <= 1)).all():
        raise InputError(f"{name} needs shares of annotators in [0, 1]: label the comparisons again")
    return scores.new_tensor(share)


def column(values: Tensor) -> np.ndarray:
    """A diagnosis as [n] float64."""
    return values.detach().cpu().double().numpy()


@dataclass(frozen=True)
class Centred:
    """loss + eta (sum_k s_k)^2, for a pair eta (s_w + s_l)^2; a set loss gets the mean over the batch.

    A loss of score differences leaves the level of each prompt free; this fixes it and moves no
    difference that the head can fit freely. It is unbounded, diagnoses and is rounded as the loss it wraps.
    Source: Eisenstein et al. 2023, "Helping or Herding?" (arXiv 2312.09244), for pairs;
    the sum over K responses is the same rule for longer comparisons.
    """

    loss: Loss
    eta: float = 0.01

    def __post_init__(self) -> None:
        if not 0 <= self.eta < math.inf:
            raise ValueError(f"centring is {self.eta}: use a number >= 0")
        if isinstance(self.loss, Diagnosing):  # of the object: without it, not Diagnosing
            object.__setattr__(self, "diagnose", self.loss.diagnose)
        if isinstance(self.loss, Kinked):
            inner = self.loss
            object.__setattr__(self, "rounded", lambda width: Centred(inner.rounded(width), self.eta))

    @property
    def unbounded(self) -> bool:
        return bool(getattr(self.loss, "unbounded", False))

    def __call__(self, scores: Tensor, comparisons: Comparisons) -> Tensor:
        """scores: [n, K] -> [n], or [] for a set loss."""
        losses = self.loss(scores, comparisons)
        pull = self.eta * scores.sum(dim=1).square()
        return losses + (pull if losses.ndim else pull.mean())
