"""The metrics of cells on each test prompt, in the units of the claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from rmlab.errors import RmlabError
from rmlab.study.finding import Where
from rmlab.study.plan import SEED, Member

METRICS = {
    "best_of_4": "best of 4, in deviations of the golden reward",
    "best_of_16": "best of 16, in deviations of the golden reward",
    "best_of_64": "best of 64, in deviations of the golden reward",
    "best_of_largest": "best of all, in deviations of the golden reward",
    "spearman": "Spearman within a prompt",
    "accuracy": "share of pairs in the golden order",
    "overestimate": "golden reward that a head predicts for its best of all (its score, put into golden "
    "units by a line fitted on validation prompts) minus what it reaches, in deviations",
    "gao_alpha": "alpha in golden gain = d (alpha - beta d), d the square root of log N - (N - 1)/N, "
    "in deviations",
    "gao_beta": "beta in the same; above 0 the golden reward falls behind",
}
EXPECTED = "expected_of_"  # prefix of N: what a head predicts for its best of N, in deviations
_GAO_NS = (4, 16, 64)  # the largest N is added to these


class NotThere(RmlabError):
    """Raised if cells that a claim needs failed, were not run, or cannot be compared."""


@dataclass(frozen=True, eq=False)
class CellValues:
    """The metrics of a sweep's cells. results, prompts: its tables RESULTS and CELL_PROMPTS."""

    results: pd.DataFrame
    prompts: pd.DataFrame

    @cached_property
    def _by_cell(self) -> dict[str, pd.DataFrame]:
        """The rows of each cell, sorted by prompt id."""
        ordered = self.prompts.sort_values(["cell", "prompt_id"])
        return {str(cell): rows for cell, rows in ordered.groupby("cell", sort=False)}

    @cached_property
    def _rows(self) -> dict[str, dict[str, Any]]:
        return self.results.set_index("cell").to_dict("index")

    @cached_property
    def _prompts_of(self) -> dict[str, int]:
        """A number for each cell, equal for cells that were judged on the same prompts."""
        numbers: dict[tuple[str, ...], int] = {}
        ids = {cell: tuple(frame["prompt_id"]) for cell, frame in self._by_cell.items()}
        return {cell: numbers.setdefault(of, len(numbers)) for cell, of in ids.items()}

    def reason(self, cell: str) -> str:
        """The reason why a cell has no values."""
        known = self._rows.get(cell, {}).get("reason")
        return str(known) if known else "the cell was not run"

    def column(self, cell: str, name: str) -> float:
        """A number from the cell's row of RESULTS."""
        if cell not in self._by_cell:
            raise NotThere(self.reason(cell))
        return _number(self._rows[cell], name)

    def of(self, cell: str, metric: str) -> np.ndarray:
        """The metric of one cell on its prompts, [P]; NaN on prompts where it is not defined."""
        if cell not in self._by_cell:
            raise NotThere(self.reason(cell))
        frame, row = self._by_cell[cell], self._rows[cell]
        if metric in ("spearman", "accuracy"):
            return _column(frame, metric)
        mean, deviation = _number(row, "test_golden_mean"), _number(row, "test_golden_deviation")
        if not deviation > 0:
            raise NotThere("the golden reward is the same for all test responses: it has no deviation")

        def gain(n: str) -> np.ndarray:
            return (_column(frame, f"best_of_{n}") - mean) / deviation

        def expected(n: str) -> np.ndarray:
            score = _number(row, "proxy_slope") * _column(frame, f"proxy_of_{n}")
            return (_number(row, "proxy_intercept") + score - mean) / deviation

        if metric.startswith(EXPECTED):
            return expected(metric.removeprefix(EXPECTED))
        if metric == "overestimate":
            return expected("largest") - gain("largest")
        if metric in ("gao_alpha", "gao_beta"):
            largest = int(_number(row, "test_largest_n"))
            ns = [n for n in _GAO_NS if n < largest]
            if not ns:
                raise NotThere(f"a curve over N needs more than 4 responses a prompt; there are {largest}")
            weights = gao_weights([*ns, largest])[("gao_alpha", "gao_beta").index(metric)]
            return weights @ np.array([gain(str(n)) for n in (*ns, "largest")])
        return gain(metric.removeprefix("best_of_"))

    @property
    def n_prompts(self) -> int:
        return int(self.prompts["prompt_id"].nunique())

    @property
    def largest_n(self) -> int:
        return int(np.nanmax(self.results["test_largest_n"].to_numpy(dtype=float), initial=0))

    @property
    def deviations(self) -> list[float]:
        """Standard deviations of the golden reward over test responses, one for each data set."""
        return [float(d) for d in self.results["test_golden_deviation"].dropna().unique()]

    def controls(self, data: str) -> dict[str, str]:
        """The cell of each control on this data, by its name."""
        rows = self.results[self.results["kind"] != "head"]
        return {k: c for k, c in zip(rows["kind"], rows["cell"], strict=True) if c == f"{k}-{data}"}

    def flagged(self, members: Sequence[Member]) -> list[dict[str, Any]]:
        """Places whose loss flags outliers: number flagged, precision and recall, as means over seeds."""
        columns = ["error_rate", "n_comparisons", "n_flagged", "flagged_precision", "flagged_recall"]
        rows = []
        for member in members:
            if member.cell in self._by_cell and pd.notna(self._rows[member.cell]["n_flagged"]):
                place = " · ".join(v for axis, v in member.axes.items() if axis != SEED)
                rows.append({"place": place, **{c: self.column(member.cell, c) for c in columns}})
        if not rows:
            return []
        return pd.DataFrame(rows).groupby("place", sort=False).mean().reset_index().to_dict("records")

    def at(self, members: Sequence[Member], wheres: Sequence[Where], metric: str) -> Stacked:
        """The metric at K places, on the set-ups, seeds and prompts that all of them have.

        Prompts on which the metric is undefined for any cell are left out. Raises NotThere if a cell failed,
        or if nothing is left to compare.
        """
        cells: list[dict[tuple[str, str], list[str]]] = []
        for where in wheres:
            found: dict[tuple[str, str], list[str]] = {}
            for member in members:
                if member.is_at(where):
                    found.setdefault((member.setup, member.axes[SEED]), []).append(member.cell)
            cells.append(found)
        self._check_prompts([cell for found in cells for those in found.values() for cell in those])
        setups = list(dict.fromkeys(setup for found in cells for setup, _ in found))
        at_all = set.intersection(*(set(found) for found in cells))
        every = [seed for _, seed in at_all if all((setup, seed) in at_all for setup in setups)]
        seeds = sorted(set(every), key=int)
        if not seeds:
            raise NotThere("no seed is on both sides" + (" on all set-ups" if len(setups) > 1 else ""))
        values = np.array(
            [
                [
                    [np.mean([self.of(c, metric) for c in found[setup, seed]], axis=0) for seed in seeds]
                    for setup in setups
                ]
                for found in cells
            ]
        )
        kept = ~np.isnan(values).any(axis=(0, 1, 2))
        if kept.sum() < 2:
            raise NotThere(f"{metric} is defined on {kept.sum()} prompts, and an interval needs 2")
        return Stacked(values[..., kept], setups, seeds)

    def _check_prompts(self, cells: Sequence[str]) -> None:
        """Raises NotThere unless all cells were judged on the same prompts, which pair them."""
        for cell in cells:
            if cell not in self._by_cell:
                raise NotThere(self.reason(cell))
        if len({self._prompts_of[cell] for cell in cells}) > 1:
            raise NotThere("the cells were judged on different prompts")

    def error_rate(self, members: Sequence[Member], where: Where) -> float:
        """The share of wrong answers at a place: the mean over cells, the largest over set-ups."""
        by_setup: dict[str, list[float]] = {}
        for member in members:
            if member.is_at(where) and member.cell in self._rows:
                rate = _number(self._rows[member.cell], "error_rate")
                by_setup.setdefault(member.setup, []).append(rate)
        return max((float(np.mean(rates)) for rates in by_setup.values()), default=float("nan"))


@dataclass(frozen=True, eq=False)
class Stacked:
    """The metric at K places, on U set-ups, S seeds and P prompts: values is [K, U, S, P]."""

    values: np.ndarray
    setups: list[str]
    seeds: list[str]


def gao_weights(ns: Sequence[int]) -> np.ndarray:
    """Weights [2, N] that give alpha and beta when multiplied by the golden gains at ns: the least squares
    fit of R(d) = d (alpha - beta d), with d the square root of the best-of-n KL, log n - (n - 1)/n.

    Source: Gao, Schulman and Hilton 2023 (arXiv 2210.10760), the form for best-of-n.
    """
    n = np.asarray(ns, dtype=float)
    d = np.sqrt(np.log(n) - (n - 1) / n)
    return np.linalg.pinv(np.column_stack([d, -(d**2)]))


def _column(frame: pd.DataFrame, name: str) -> np.ndarray:
    if name not in frame:
        raise NotThere(f"the sweep kept no {name} of prompts; run its cells again with --force")
    return frame[name].to_numpy(dtype=float)


def _number(row: Mapping[str, Any], name: str) -> float:
    if name not in row:
        raise NotThere(f"the sweep kept no {name}; run its cells again with --force")
    return float(row[name])
