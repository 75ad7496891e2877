"""What a sweep shows while it runs: how far it is, how fast, the best cells so far and what failed."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping
from typing import Any

from rmlab.progress import Progress

SHOWN = 8
COLUMNS = ("validation_best_of_n", "test_best_of_n", "test_spearman", "seconds")


class LiveCells:
    """axes: those of each cell; rows: what earlier runs did, which counts among the best."""

    def __init__(
        self,
        progress: Progress,
        axes: Mapping[str, Mapping[str, str]],
        rows: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        self.progress, self.axes = progress, axes
        known = [row for row in rows if row["cell"] in axes and row["state"] == "ok"]
        self.best: list[Mapping[str, Any]] = heapq.nlargest(SHOWN, known, key=_value)
        self.failed = 0

    def tell(self, row: Mapping[str, Any]) -> None:
        self.progress.advance(1)
        if row["state"] == "failed":
            self.failed += 1
            if self.failed <= SHOWN:
                self.progress.say(f"failed: {self._name(row)}: {row['reason']}")
        else:
            self.best = heapq.nlargest(SHOWN, [*self.best, row], key=_value)
        self.progress.table(("best cells so far", *COLUMNS), [self._line(r) for r in self.best])

    def _line(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        numbers = (row[column] for column in COLUMNS)
        return (self._name(row), *("-" if x is None else f"{x:.3f}" for x in numbers))

    def _name(self, row: Mapping[str, Any]) -> str:
        return " ".join(f"{k}={v}" for k, v in self.axes[row["cell"]].items())


def _value(row: Mapping[str, Any]) -> float:
    value = row["validation_best_of_n"]
    return -math.inf if value is None or math.isnan(value) else value
