"""The values of cells on test prompts, in units in which claims are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from rmlab.errors import RmlabError
from rmlab.study.cells import SEED, Member
from rmlab.study.finding import Where

METRICS = {
    "best_of_4": "best of 4, in deviations of the golden reward",
    "best_of_16": "best of 16, in deviations of the golden reward",
    "best_of_64": "best of 64, in deviations of the golden reward",
    "best_of_largest": "best of all, in deviations of the golden reward",
    "spearman": "Spearman within a prompt",
    "accuracy": "share of pairs in the golden order",
    "overestimate": "what a head expects of its best of all, less what it gets, in deviations",
    "late_gain": "best of all less best of 16, in deviations of the golden reward",
}


class NotThere(RmlabError):
    """Cells that a claim needs have failed, or were not run."""


@dataclass(frozen=True, eq=False)
class CellValues:
    """results, prompts: the tables of a sweep, RESULTS and CELL_PROMPTS."""

    results: pd.DataFrame
    prompts: pd.DataFrame

    @cached_property
    def _by_cell(self) -> dict[str, pd.DataFrame]:
        """Prompts in the order of their ids."""
        ordered = self.prompts.sort_values(["cell", "prompt_id"])
        return {str(cell): rows for cell, rows in ordered.groupby("cell", sort=False)}

    @cached_property
    def _rows(self) -> pd.DataFrame:
        return self.results.set_index("cell")

    def reason(self, cell: str) -> str:
        known = cell in self._rows.index and self._rows.loc[cell, "reason"]
        return str(known) if known else "the cell was not run"

    def column(self, cell: str, name: str) -> float:
        return float(self._rows.loc[cell, name])

    def of(self, cell: str, metric: str) -> np.ndarray:
        """[P] the metric of one cell; NaN on prompts where it is not defined."""
        if cell not in self._by_cell:
            raise NotThere(self.reason(cell))
        frame, row = self._by_cell[cell], self._rows.loc[cell]
        mean, deviation = float(row["test_golden_mean"]), float(row["test_golden_deviation"])
        if metric in ("spearman", "accuracy") or metric.startswith("proxy_of"):
            return _column(frame, metric)
        if metric == "overestimate":
            return _column(frame, "proxy_of_largest") - (_column(frame, "best_of_largest") - mean) / deviation
        if metric == "late_gain":
            return (_column(frame, "best_of_largest") - _column(frame, "best_of_16")) / deviation
        return (_column(frame, metric) - mean) / deviation

    def check_prompts(self, cells: Sequence[str]) -> None:
        """Prompts are paired, so all cells of a contrast must have been judged on the same ones."""
        for cell in cells:
            if cell not in self._by_cell:
                raise NotThere(self.reason(cell))
        if len({tuple(self._by_cell[cell]["prompt_id"]) for cell in cells}) > 1:
            raise NotThere("the cells were judged on different prompts")

    @property
    def n_prompts(self) -> int:
        return int(self.prompts["prompt_id"].nunique())

    @property
    def largest_n(self) -> int:
        return int(np.nanmax(self.results["test_largest_n"].to_numpy(dtype=float), initial=0))

    @property
    def deviations(self) -> list[float]:
        """Of the golden reward over test responses: one for each data of the study."""
        return [float(d) for d in self.results["test_golden_deviation"].dropna().unique()]

    def controls(self, data: str) -> dict[str, str]:
        """The cell of each control on this data, by its name."""
        rows = self.results[self.results["kind"] != "head"]
        return {k: c for k, c in zip(rows["kind"], rows["cell"], strict=True) if c == f"{k}-{data}"}

    def flagged(self, members: Sequence[Member]) -> list[dict[str, Any]]:
        """Places where a loss flags outliers: means over seeds of how many, and of how right it is."""
        columns = ["error_rate", "n_comparisons", "n_flagged", "flagged_precision", "flagged_recall"]
        rows = []
        for member in members:
            if member.cell in self._rows.index and pd.notna(self._rows.loc[member.cell, "n_flagged"]):
                place = " · ".join(v for axis, v in member.axes.items() if axis != SEED)
                rows.append({"place": place, **{c: self.column(member.cell, c) for c in columns}})
        if not rows:
            return []
        return pd.DataFrame(rows).groupby("place", sort=False).mean().reset_index().to_dict("records")

    def at(self, members: Sequence[Member], where: Where, metric: str) -> Mapping[str, np.ndarray]:
        """seed -> [P], the mean over all cells at a place."""
        found: dict[str, list[np.ndarray]] = {}
        for member in members:
            if member.is_at(where):
                found.setdefault(member.axes[SEED], []).append(self.of(member.cell, metric))
        return {seed: np.mean(values, axis=0) for seed, values in found.items()}


def _column(frame: pd.DataFrame, name: str) -> np.ndarray:
    return frame[name].to_numpy(dtype=float)
