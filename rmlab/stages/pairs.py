"""Pairs of answers to one prompt of which one is preferred: what held-out accuracy is measured on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rmlab.errors import InputError
from rmlab.metrics.golden_order import GoldenOrder
from rmlab.metrics.untied_pairs import untied_pairs
from rmlab.stages.responses import Responses

MAX_PAIRS = 200_000  # drawn at random where there are more


@dataclass(frozen=True)
class Pairs:
    """first, second: [n] rows of all responses, in the order of their ids, which says nothing of the answer;
    first_wins: [n] whether the first has the higher golden score. n_ties: pairs that are not here, since
    neither is preferred.
    """

    first: np.ndarray
    second: np.ndarray
    first_wins: np.ndarray
    n_ties: int

    @classmethod
    def among(cls, responses: Responses, mask: np.ndarray, most: int = MAX_PAIRS) -> Pairs:
        """Those of the responses that the mask [m] names: all, or `most` of them drawn at random."""
        rows = np.flatnonzero(mask)
        if len(rows) == 0:
            raise InputError("there are no responses to pair; sample at least 2 a prompt")
        part = responses.take(rows)
        order = GoldenOrder.of(part.golden, part.group)
        first, second = untied_pairs(order, most, np.random.default_rng(0))
        if len(first) == 0:
            raise InputError(
                "no two answers to a prompt differ in their scores, so no pair can be held out; "
                "bring pairs with a preferred answer"
            )
        wins = part.golden[first] > part.golden[second]
        return cls(rows[first], rows[second], wins, int(sum(block.tied.sum() for block in order.blocks)))

    def __len__(self) -> int:
        return len(self.first)

    @property
    def items(self) -> np.ndarray:
        """[n, 2] rows, the preferred first."""
        preferred = np.where(self.first_wins, self.first, self.second)
        return np.stack([preferred, self.first + self.second - preferred], axis=1)

    def margins(self, scores: np.ndarray) -> np.ndarray:
        """scores: [m] -> [n] of the preferred answer less that of the other."""
        preferred, other = self.items.T
        return scores[preferred] - scores[other]
