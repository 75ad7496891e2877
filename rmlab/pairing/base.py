"""A pairing chooses which responses of a pool are compared."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from rmlab.comparisons import Comparisons, Pool
from rmlab.errors import InputError


class Pairing(Protocol):
    def capacity(self, pool: Pool) -> int:
        """How many distinct comparisons the pool allows."""
        ...

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Comparisons: ...


def check_choice(choice: str, known: tuple[str, ...]) -> None:
    """Refuses a choice that is not one of the known ones."""
    if choice not in known:
        raise ValueError(f"choice is {choice!r}: use {', '.join(known[:-1])} or {known[-1]}")


def check_budget(n: int, total: int, what: str) -> None:
    """Refuses a budget of n of the total distinct ones there are; what: their name, in the plural."""
    if n < 1:
        raise InputError(f"asked for {n} comparisons: ask for at least 1")
    if n > total:
        raise InputError(
            f"asked for {n} comparisons, but only {total} distinct {what} exist: "
            "lower comparisons.n or sample more responses"
        )


def check_golden(pool: Pool, choice: str) -> None:
    """Refuses golden rewards without an order, unless the choice is random and reads none."""
    if choice == "random":
        return
    if not np.isfinite(pool.golden).all():
        raise InputError("some golden rewards are not finite: annotate the responses again")
    if len(pool) and np.ptp(pool.golden) == 0:
        raise InputError(f"all golden rewards are equal: {choice} comparisons need a reward that varies")


def random_order(items: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """items [n, 2], each pair in the order a coin decides: which response is shown first."""
    left, right = items[:, 0], items[:, 1]
    first = np.where(rng.integers(0, 2, len(items), dtype=bool), left, right)
    return np.stack([first, left + right - first], axis=1)
