"""The results of scoring and comparing texts, and what becomes of texts that are too long."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from rmlab.embedders.base import Embedded
from rmlab.errors import ConfigError, InputError
from rmlab.heads.base import RewardHead
from rmlab.heads.fitted.centred import CentredHead
from rmlab.heads.fitted.linear import LaplaceHead
from rmlab.heads.fitted.several import EnsembleHead

Long = Literal["cut", "refuse"]


@dataclass(frozen=True, eq=False)
class ScoredTexts:
    """Rewards of n texts.

    score: [n] rewards; raw: [n] scores as fitted; n_tokens: [n] tokens of each response, -1 where unknown;
    truncated: [n] bool, texts that were longer than the model reads.
    """

    score: np.ndarray
    raw: np.ndarray
    n_tokens: np.ndarray
    truncated: np.ndarray


@dataclass(frozen=True)
class ComparedResponses:
    """Two responses to a prompt.

    probability: that the first is preferred; margin: the difference of the scores as fitted; std: its
    standard deviation, None for a head that does not know it.
    """

    probability: float
    margin: float
    std: float | None


class NotFiniteError(InputError):
    """The embedding model gave no numbers for a text."""


def check_long(long: str) -> None:
    """Raises ConfigError for what says nothing of texts that are too long."""
    if long not in get_args(Long):
        raise ConfigError(f"long must be cut or refuse, got {long}")


def check_read(done: Embedded, long: Long, named: Callable[[int], str]) -> None:
    """Raises an error for vectors that are no numbers, and where it is asked for, for texts that were cut."""
    odd = np.flatnonzero(~np.isfinite(done.vectors).all(axis=1))
    if len(odd):
        raise NotFiniteError(f"the embedding model gave NaN or infinity for {named(odd[0])}")
    cut = np.flatnonzero(done.truncated)
    if long == "refuse" and len(cut):
        raise InputError(
            f"{named(cut[0])} is longer than the embedding model reads; shorten it, or allow it to be cut "
            "with long=cut"
        )


def warn_of_cut(truncated: np.ndarray) -> None:
    """Warns the caller of the reward model that some texts were cut."""
    if n := int(truncated.sum()):
        warnings.warn(f"{n} texts were longer than the embedding model reads and were cut", stacklevel=5)


def compared(head: RewardHead, x: np.ndarray, temperature: float) -> ComparedResponses:
    """Compares two responses by their embeddings, x [2, d]."""
    if isinstance(head, CentredHead):
        raw = head.raw(x, np.zeros(2))
        margin, std = float(raw[0] - raw[1]), None
    elif isinstance(head, LaplaceHead | EnsembleHead):
        margin, std = (float(part[0]) for part in head.margin(x[:1], x[1:]))
    else:
        raw = head.raw(x)
        margin, std = float(raw[0] - raw[1]), None
    log_odds = margin / temperature
    if isinstance(head, LaplaceHead) and std is not None:
        # The mean of sigma over the posterior, by MacKay's approximation (1992).
        log_odds /= np.sqrt(1 + np.pi / 8 * (std / temperature) ** 2)
    return ComparedResponses(float(0.5 * (1 + np.tanh(0.5 * log_odds))), margin, std)
