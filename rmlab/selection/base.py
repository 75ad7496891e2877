"""The protocol of selectors, which choose the comparisons to annotate next, and their checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from rmlab.errors import InputError

LARGEST = 1e100  # products of larger features and margins would overflow


@dataclass(frozen=True)
class Candidates:
    """The c comparisons that can be annotated, and the p that already are, as the head sees them.

    z: [c, f] features of the first response less those of the second, any float dtype;
    margin: [c] score of the first less that of the second; past_z: [p, f] and past_margin: [p], the same of
    the annotated ones. A pair may be shown in either order, so no selector depends on the common sign of z
    and margin.
    """

    z: np.ndarray
    margin: np.ndarray
    past_z: np.ndarray
    past_margin: np.ndarray

    def __len__(self) -> int:
        return len(self.margin)


class Selector(Protocol):
    """A rule for choosing which candidates are annotated."""

    needs_head: ClassVar[bool]  # whether it reads z and margin; where not, these may hold anything

    def __call__(self, candidates: Candidates, n: int, rng: np.random.Generator) -> np.ndarray:
        """Returns n distinct rows of the candidates in order of choice, [n] int64.

        With an rng in the same state a smaller n gives the first rows of a larger n.
        """
        ...


def check_budget(candidates: Candidates, n: int) -> None:
    """Raises InputError unless 1 <= n <= the number of candidates."""
    if n < 1:
        raise InputError(f"asked for {n} comparisons: ask for at least 1")
    if n > len(candidates):
        raise InputError(
            f"asked for {n} comparisons, but there are only {len(candidates)} candidates: "
            "ask for fewer or offer more candidates"
        )


def check_candidates(candidates: Candidates, n: int) -> None:
    """Checks, for selectors that read z and margin, the budget and that the numbers are usable."""
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
    ends = np.array([values.min(), values.max()], dtype=np.float64)  # NaN stays NaN in both
    if not (np.abs(ends) <= LARGEST).all():
        raise InputError(f"some {what} are not finite or beyond {LARGEST:g}: fit the head again")
