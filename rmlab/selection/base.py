"""A selector chooses which of the possible comparisons are annotated next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from rmlab.errors import InputError

LARGEST = 1e100  # features and margins beyond it would overflow once multiplied


@dataclass(frozen=True)
class Candidates:
    """c comparisons that could be annotated, and p that are annotated already, as the current head sees them.

    z: [c, f] features of the first response less those of the second, any float dtype;
    margin: [c] score of the first less that of the second; past_z: [p, f] and past_margin: [p], the same
    of the annotated ones. A pair may be shown in either order, so no selector heeds the sign of a
    candidate's or a past comparison's (z, margin).
    """

    z: np.ndarray
    margin: np.ndarray
    past_z: np.ndarray
    past_margin: np.ndarray

    def __len__(self) -> int:
        return len(self.margin)


class Selector(Protocol):
    needs_head: ClassVar[bool]  # whether z and margin are read; if not, they may hold anything

    def __call__(self, candidates: Candidates, n: int, rng: np.random.Generator) -> np.ndarray:
        """[n] int64, distinct rows of the candidates in order of choice: with an rng in the same state
        a smaller n gives the first rows of a larger one."""
        ...


def check_budget(candidates: Candidates, n: int) -> None:
    if n < 1:
        raise InputError(f"asked for {n} comparisons: ask for at least 1")
    if n > len(candidates):
        raise InputError(
            f"asked for {n} comparisons, but there are only {len(candidates)} candidates: "
            "ask for fewer or offer more candidates"
        )


def check_candidates(candidates: Candidates, n: int) -> None:
    """For selectors that read z and margin: the budget can be met, and the numbers can be used."""
    check_budget(candidates, n)
    shapes = [(candidates.z, candidates.margin), (candidates.past_z, candidates.past_margin)]
    width = candidates.z.shape[1:]
    if any(z.shape != (*margin.shape, *width) or z.ndim != 2 for z, margin in shapes):
        raise InputError("features and score differences do not fit together: compute both with one head")
    _check_finite(candidates.z, "features of candidate comparisons")
    _check_finite(candidates.margin, "score differences of candidate comparisons")
    _check_finite(candidates.past_z, "features of annotated comparisons")
    _check_finite(candidates.past_margin, "score differences of annotated comparisons")


def _check_finite(values: np.ndarray, what: str) -> None:
    if values.size == 0:
        return
    ends = np.array([values.min(), values.max()], dtype=np.float64)  # not a number stays so in both
    if not (np.abs(ends) <= LARGEST).all():
        raise InputError(f"some {what} are not finite or beyond {LARGEST:g}: fit the head again")
