"""What a sweep shows while it runs: how far it is, how fast, the best cells so far and what failed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rmlab.progress import Progress

SHOWN = 8
COLUMNS = ("validation_best_of_n", "test_best_of_n", "test_spearman", "seconds")


class LiveCells:
    def __init__(self, progress: Progress, axes: Mapping[str, Mapping[str, str]]) -> None:
        self.progress, self.axes = progress, axes
        self.best: list[dict[str, Any]] = []
        self.failed = 0

    def tell(self, row: dict[str, Any]) -> None:
        self.progress.advance(1)
        name = " ".join(f"{k}={v}" for k, v in self.axes[row["cell"]].items())
        if row["state"] == "failed":
            self.failed += 1
            if self.failed <= SHOWN:
                self.progress.say(f"failed: {name}: {row['reason']}")
        else:
            self.best = sorted([*self.best, row], key=_value, reverse=True)[:SHOWN]
        self.progress.table(("best cells so far", *COLUMNS), [self._line(r) for r in self.best])

    def _line(self, row: dict[str, Any]) -> tuple[str, ...]:
        name = " ".join(f"{k}={v}" for k, v in self.axes[row["cell"]].items())
        return (name, *(f"{row[column]:.3f}" for column in COLUMNS))


def _value(row: dict[str, Any]) -> float:
    value = row["validation_best_of_n"]
    return -math.inf if math.isnan(value) else value
