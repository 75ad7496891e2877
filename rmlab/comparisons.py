"""Comparisons of responses: pairings make them, annotators answer them, losses read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Literal

import numpy as np

Kind = Literal["pair", "list", "choice", "unpaired"]


@dataclass(frozen=True)
class Pool:
    """The responses that can be compared, one row for each.

    golden: [m] float64, the golden reward; group: [m] int64, the prompt that a response answers.
    """

    golden: np.ndarray
    group: np.ndarray

    def __len__(self) -> int:
        return len(self.golden)


@dataclass(frozen=True)
class Comparisons:
    """n comparisons of K responses each.

    items: [n, K] int64 rows of the pool, once answered in an order that depends on the kind. pair: the
    preferred response first; list: a ranking, best first; choice: the chosen response first, the others in no
    order; unpaired: K = 1, a single response that was found good (share 1) or not (share 0).
    group: [n] int64, the prompt of the first item; weight: [n];
    label_prob: [n], the annotator's probability of the answer that was given;
    margin: [n], the absolute golden gap between the first and the last item; for a choice, between the first
    and the mean of the others; for an unpaired answer, to the threshold;
    tie: [n] bool, whether the golden rewards are equal;
    correct: [n] bool, whether the answer agrees with the golden order (False for ties);
    annotator: [n] int64; share: [n], the share of annotators who gave this answer (pairs), or found the
    response good (unpaired); golden: [n, K] golden rewards of the items, NaN where unknown.
    """

    items: np.ndarray
    group: np.ndarray
    kind: Kind = "pair"
    weight: np.ndarray = field(default_factory=lambda: np.empty(0))
    label_prob: np.ndarray = field(default_factory=lambda: np.empty(0))
    margin: np.ndarray = field(default_factory=lambda: np.empty(0))
    tie: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=bool))
    correct: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=bool))
    annotator: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    share: np.ndarray = field(default_factory=lambda: np.empty(0))
    golden: np.ndarray = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        n = len(self.items)
        fill = {
            "weight": np.ones(n),
            "label_prob": np.ones(n),
            "margin": np.zeros(n),
            "tie": np.zeros(n, dtype=bool),
            "correct": np.ones(n, dtype=bool),
            "annotator": np.zeros(n, dtype=np.int64),
            "share": np.ones(n),
            "golden": np.full(self.items.shape, np.nan),
        }
        for name, default in fill.items():
            if len(getattr(self, name)) == 0 and n:
                object.__setattr__(self, name, default)

    def __len__(self) -> int:
        return len(self.items)

    def distinct_rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the compared rows of the pool, [r] ascending, and items as places among them, [n, K]."""
        rows, place = np.unique(self.items, return_inverse=True)
        return rows, place.reshape(self.items.shape)

    def implied_pairs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns the pairs that the answers imply: items [p, 2], the preferred first; share [p]; weight [p].

        A ranking implies all of its pairs, a choice those of the chosen response with each other one, and an
        unpaired answer none; the pairs of a comparison divide its weight. By Luce's choice axiom each such
        pair follows the Bradley-Terry model.
        """
        n, k = self.items.shape
        first, second = np.triu_indices(k, 1)
        if self.kind == "choice":
            first, second = first[: k - 1], second[: k - 1]
        count = len(first) if self.kind != "unpaired" else 0
        items = np.stack([self.items[:, first[:count]], self.items[:, second[:count]]], axis=-1)
        share = self.share if self.kind == "pair" else np.ones(n)
        weight = self.weight / max(count, 1)
        return items.reshape(-1, 2), np.repeat(share, count), np.repeat(weight, count)

    def take(self, rows: np.ndarray) -> Comparisons:
        """Returns the comparisons at these rows (indices or a mask)."""
        columns = (f.name for f in fields(self) if f.name != "kind")
        return replace(self, **{name: getattr(self, name)[rows] for name in columns})

    @classmethod
    def joined(cls, several: Sequence[Comparisons]) -> Comparisons:
        """Returns the concatenation of several tables of the same kind."""
        columns = (f.name for f in fields(cls) if f.name != "kind")
        whole = {name: np.concatenate([getattr(one, name) for one in several]) for name in columns}
        return cls(kind=several[0].kind, **whole)
