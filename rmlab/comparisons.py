"""The one table of comparisons that pairings make, labels answer and losses read."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np


@dataclass(frozen=True)
class Pool:
    """The responses that can be compared, one row each.

    golden: [m] float64, the golden reward; group: [m] int64, the prompt a response answers.
    """

    golden: np.ndarray
    group: np.ndarray

    def __len__(self) -> int:
        return len(self.golden)


@dataclass(frozen=True)
class Comparisons:
    """n comparisons of K responses each.

    items: [n, K] int64 rows of the pool, the preferred response first once labelled.
    weight: [n]; label_prob: [n], the annotator's probability of the answer that was given;
    margin: [n] absolute golden gap of first and last item; tie: [n] bool, golden scores equal;
    correct: [n] bool, the answer agrees with the golden order (False for ties);
    annotator: [n] int64; group: [n] int64, prompt of the first item.
    """

    items: np.ndarray
    group: np.ndarray
    kind: str = "pair"
    weight: np.ndarray = field(default_factory=lambda: np.empty(0))
    label_prob: np.ndarray = field(default_factory=lambda: np.empty(0))
    margin: np.ndarray = field(default_factory=lambda: np.empty(0))
    tie: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=bool))
    correct: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=bool))
    annotator: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def __post_init__(self) -> None:
        n = len(self.items)
        fill = {
            "weight": np.ones(n),
            "label_prob": np.ones(n),
            "margin": np.zeros(n),
            "tie": np.zeros(n, dtype=bool),
            "correct": np.ones(n, dtype=bool),
            "annotator": np.zeros(n, dtype=np.int64),
        }
        for name, default in fill.items():
            if len(getattr(self, name)) == 0 and n:
                object.__setattr__(self, name, default)

    def __len__(self) -> int:
        return len(self.items)

    def take(self, rows: np.ndarray) -> Comparisons:
        """The comparisons at these rows (indices or a mask)."""
        columns = ("items", "group", "weight", "label_prob", "margin", "tie", "correct", "annotator")
        return replace(self, **{name: getattr(self, name)[rows] for name in columns})
