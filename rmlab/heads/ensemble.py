"""Fits an ensemble of any head, each member on a bootstrap sample of the prompts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from rmlab.comparisons import Comparisons
from rmlab.errors import ConfigError
from rmlab.heads.base import FitData, FitLog, HeadFitter, check_inputs
from rmlab.heads.fitted.base import NormalisedHead
from rmlab.heads.fitted.several import Combine, EnsembleHead, check_combination

if TYPE_CHECKING:
    from rmlab.losses.base import Loss

PROBES = 8


@dataclass(frozen=True)
class Ensemble:
    """Fits `members` heads of one kind, combined by their mean, their minimum, or mean - k std (lcb).

    member: the fitter of each; it gets a seed derived from (seed, its index), so a larger ensemble begins
    with the members of a smaller one. resample: fits each on its own bootstrap of the training prompts;
    without it members differ by their seeds alone, which for a head that ignores the seed makes them equal.
    Source: Lakshminarayanan et al. 2017 for ensembles; Coste et al. 2024 (arXiv 2310.02743) for the minimum
    as a reward. They also subtract a multiple of the variance; the standard deviation, used here, has the
    unit of the reward.
    """

    member: HeadFitter
    members: int = 5
    combine: Combine = "mean"
    k: float = 1.0
    resample: bool = True

    def __post_init__(self) -> None:
        check_combination(self.combine, self.k)
        if self.members < 1:
            raise ValueError(f"members must be >= 1, got {self.members}")
        if isinstance(self.member, Ensemble):
            raise ValueError("member must be a single head, not an ensemble")

    @property
    def has_features(self) -> bool:
        return getattr(self.member, "has_features", True)

    def check_fits(self, loss: Loss, comparisons: Comparisons) -> None:
        """Raises ConfigError for a loss that allows no bootstrap, or that the members do not fit."""
        if self.resample:
            _refuse_set_loss(loss, comparisons)
        if check := getattr(self.member, "check_fits", None):
            check(loss, comparisons)

    def fit(self, data: FitData, loss: Loss, seed: int) -> tuple[EnsembleHead, FitLog]:
        """Fits the members one after another."""
        check_inputs(data, loss)
        if self.resample:
            _refuse_set_loss(loss, data.train)
        heads: list[NormalisedHead] = []
        logs: list[FitLog] = []
        for index in range(self.members):
            for_fit, for_draw = np.random.SeedSequence([seed % 2**64, index]).spawn(2)
            drawn = resampled(data.train, np.random.default_rng(for_draw)) if self.resample else data.train
            head, log = self.member.fit(replace(data, train=drawn), loss, int(for_fit.generate_state(1)[0]))
            heads.append(head)
            logs.append(log)
        return EnsembleHead(members=tuple(heads), combine=self.combine, k=self.k), _summary(logs)


def resampled(train: Comparisons, rng: np.random.Generator) -> Comparisons:
    """Draws prompts with replacement, as many as there are; comparisons weigh as often as theirs was drawn.

    Prompts are drawn rather than comparisons, because those of a prompt share responses and are not
    independent. A draw that leaves no comparison of positive weight is repeated.
    """
    prompts, prompt = np.unique(train.group, return_inverse=True)
    weight = np.zeros(len(train))
    while not weight.any():
        drawn = np.bincount(rng.integers(len(prompts), size=len(prompts)), minlength=len(prompts))
        weight = train.weight * drawn[prompt]
    return replace(train, weight=weight)


def _refuse_set_loss(loss: Loss, train: Comparisons) -> None:
    """Raises ConfigError for a set loss, which takes no weights and so allows no bootstrap."""
    few = train.take(np.arange(min(PROBES, len(train))))
    if loss(torch.zeros(few.items.shape, dtype=torch.float64), few).ndim == 0:
        raise ConfigError("a set loss takes no weights, so no bootstrap; set ensemble.resample=false")


def _summary(logs: list[FitLog]) -> FitLog:
    """Returns a log with the rows of the first member, each member's choices, and those not converged."""
    log = FitLog(rows=logs[0].rows, converged=all(one.converged for one in logs))
    for index, one in enumerate(logs):
        log.chosen |= {f"member-{index:03d}.{name}": value for name, value in one.chosen.items()}
    if not log.converged:
        reasons = Counter(one.message for one in logs if not one.converged)
        first = next(iter(reasons))
        log.message = f"{reasons.total()} of {len(logs)} members not converged; the first: {first}"
    if noted := [one.notes[0] for one in logs if one.notes]:
        log.notes.append(f"{len(noted)} of {len(logs)} members: {noted[0]}")
    return log
