"""The protocol of losses, the centring penalty that any of them can get, and the checks that they share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from rmlab.comparisons import Comparisons
from rmlab.errors import ConfigError, InputError


class Loss(Protocol):
    """A loss of comparisons under the scores that a head gives to their responses.

    A loss that has no lower bound, so that a fit needs L2 > 0, has a class attribute `unbounded = True`.
    """

    def __call__(self, scores: Tensor, comparisons: Comparisons) -> Tensor:
        """Returns the loss of each comparison, [n]. scores: [n, K], the preferred response in column 0.

        A set loss, which compares all scores of a batch at once, returns a single value, [].
        """
        ...


@runtime_checkable
class Diagnosing(Protocol):
    """A loss that also describes each comparison once a head is fitted, such as whether it is an outlier."""

    def diagnose(self, scores: Tensor, comparisons: Comparisons) -> dict[str, np.ndarray]:
        """Returns named columns of [n] float64. scores: [n, K] of the fitted head."""
        ...


@runtime_checkable
class Kinked(Protocol):
    """A loss with kinks. At a minimum on a kink the gradient does not become small."""

    def rounded(self, width: float) -> Loss:
        """Returns a smooth loss that differs only near the kinks. width: as a share of the loss's scale."""
        ...


@dataclass(frozen=True)
class Centred:
    """loss + eta (sum_k s_k)^2, for a pair eta (s_w + s_l)^2; a set loss gets the mean over the batch.

    A loss of score differences leaves the level of each prompt's scores free; the penalty fixes it without
    moving any difference that the head can fit freely. `unbounded`, `diagnose` and `rounded` are those of
    the wrapped loss.
    Source: Eisenstein et al. 2023, "Helping or Herding?" (arXiv 2312.09244), for pairs;
    the sum over K responses is the same rule for longer comparisons.
    """

    loss: Loss
    eta: float = 0.01

    def __post_init__(self) -> None:
        if not 0 <= self.eta < math.inf:
            raise ValueError(f"centring is {self.eta}: use a number >= 0")
        # Set on the object, so that it is Diagnosing or Kinked only where the wrapped loss is.
        if isinstance(self.loss, Diagnosing):
            object.__setattr__(self, "diagnose", self.loss.diagnose)
        if isinstance(self.loss, Kinked):
            inner = self.loss
            object.__setattr__(self, "rounded", lambda width: Centred(inner.rounded(width), self.eta))

    @property
    def unbounded(self) -> bool:
        return bool(getattr(self.loss, "unbounded", False))

    def __call__(self, scores: Tensor, comparisons: Comparisons) -> Tensor:
        """Returns [n], or [] for a set loss. scores: [n, K]."""
        losses = self.loss(scores, comparisons)
        pull = self.eta * scores.sum(dim=1).square()
        return losses + (pull if losses.ndim else pull.mean())


def check_pair(scores: Tensor, name: str) -> None:
    """Raises ConfigError unless scores are [n, 2]. name: the loss as it is typed in settings."""
    k = scores.shape[1]
    if k != 2:
        other = "loss=unpaired" if k < 2 else "loss=choice, plackett_luce or all_pairs"
        raise ConfigError(
            f"{name} compares 2 responses, not {k}: use pairing=same_prompt or cross_prompt, or {other}"
        )


def check_list(scores: Tensor, name: str) -> None:
    """Raises ConfigError unless scores are [n, K] with K >= 2."""
    k = scores.shape[1]
    if k < 2:
        raise ConfigError(
            f"{name} compares 2 or more responses, not {k}: use pairing=lists, or loss=unpaired"
        )


def check_ranking(scores: Tensor, comparisons: Comparisons, name: str) -> None:
    """Raises ConfigError unless scores are [n, K], K >= 2, of whole rankings (a choice is not one)."""
    check_list(scores, name)
    if comparisons.kind == "choice":
        raise ConfigError(
            f"{name} needs whole rankings, but these are choices: use loss=choice or pairing.answer=ranking"
        )


def pair_margin(scores: Tensor, name: str) -> Tensor:
    """Returns the margins m = s_w - s_l, [n], of scores [n, 2]."""
    check_pair(scores, name)
    return scores[:, 0] - scores[:, 1]


def shares(scores: Tensor, comparisons: Comparisons, name: str) -> Tensor:
    """Returns comparisons.share as a tensor [n] like scores; raises InputError unless all are in [0, 1]."""
    share = comparisons.share
    if not ((share >= 0) & (share <= 1)).all():
        raise InputError(f"{name} needs shares of annotators in [0, 1]: label the comparisons again")
    return scores.new_tensor(share)


def as_float64(values: Tensor) -> np.ndarray:
    """Returns a tensor as a float64 array, as `diagnose` gives its columns."""
    return values.detach().cpu().double().numpy()
