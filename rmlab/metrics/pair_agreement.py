"""How far two heads decide pairs alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PairAgreement:
    """n: pairs that both decide; share: of them decided alike; kappa: 0 for chance, 1 for always alike."""

    n: int
    share: float
    kappa: float


def pair_agreement(a: np.ndarray, b: np.ndarray) -> PairAgreement:
    """a, b: [n] margins of two heads, first response less second, on the same pairs.

    kappa = (share - e) / (1 - e), e the share that two heads agree on by chance that prefer the first as
    often as these two do. Pairs on which either has a tie are left out. NaN where nothing is left, or
    where both always prefer the first (or the second). Source: Cohen 1960.
    """
    decided = (a != 0) & (b != 0)
    first_a, first_b = a[decided] > 0, b[decided] > 0
    if not len(first_a):
        return PairAgreement(0, float("nan"), float("nan"))
    share = float((first_a == first_b).mean())
    p, q = float(first_a.mean()), float(first_b.mean())
    chance = p * q + (1 - p) * (1 - q)
    kappa = (share - chance) / (1 - chance) if chance < 1 else float("nan")
    return PairAgreement(len(first_a), share, kappa)
