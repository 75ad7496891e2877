"""The means of a sweep with intervals over seeds and prompts.

They are of each combination of its settings, and of each value on each axis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rmlab.errors import InputError
from rmlab.pipeline.node import Cell, Grid
from rmlab.study.claims import ROUGH
from rmlab.study.effects import Effect, effect
from rmlab.study.plan import SEED, Member
from rmlab.study.values import CellValues, NotThere

METRICS = ("best_of_largest", "spearman", "accuracy")  # those with intervals
COLUMNS = (
    "validation_best_of_n",
    "test_best_of_n",
    "error_rate",
    "seconds",
)  # means of columns of the results
MOST = 100  # combinations that have intervals: the best on validation prompts


@dataclass(frozen=True)
class Place:
    """The cells that share their values on some axes. axes: these values, as typed.

    effects: the mean of each metric; differences: from the first value of the axis, for the other values;
    columns: means of columns of the results; reason: why there are no effects.
    """

    axes: Mapping[str, str]
    cells: int
    columns: Mapping[str, float]
    effects: Mapping[str, Effect] = field(default_factory=dict)
    differences: Mapping[str, Effect] = field(default_factory=dict)
    reason: str = ""

    @property
    def name(self) -> str:
        return " · ".join(f"{axis}={value}" for axis, value in self.axes.items()) or "all"


@dataclass(frozen=True, eq=False)
class SweepMeans:
    """The cells of a sweep that have results, and the means of their metrics."""

    grid: Grid
    values: CellValues

    @property
    def cells(self) -> list[Cell]:
        rows = self.values.results
        done = set(rows.loc[(rows["kind"] == "head") & (rows["state"] == "ok"), "cell"])
        return [cell for cell in self.grid.cells if cell.fingerprint in done]

    @property
    def axes(self) -> list[str]:
        return shown_axes(self.grid)

    def along(self, axis: str) -> list[Place]:
        """A place for each value on the axis, in the order of the values.

        Only combinations of the other settings, seeds among them, that have a result at every value count, so
        that the values are compared on equal terms.
        """
        values = _ordered({c.axes[axis] for c in self.grid.cells if axis in c.axes})
        at: dict[tuple[tuple[str, str], ...], dict[str, Cell]] = {}
        for cell in self.cells:
            if axis in cell.axes:
                rest = {**cell.axes, SEED: str(cell.settings.seed)}
                del rest[axis]
                at.setdefault(tuple(sorted(rest.items())), {})[cell.axes[axis]] = cell
        whole = [found for found in at.values() if len(found) == len(values)]
        by_value = {value: [found[value] for found in whole] for value in values}
        columns = {value: self._columns(cells) for value, cells in by_value.items()}
        sizes = {value: len(cells) for value, cells in by_value.items()}
        if not whole:
            why = "no combination of the other settings has a result at every value"
            return [Place({axis: value}, 0, {}, reason=why) for value in values]
        members = [_member(cell, axis) for cells in by_value.values() for cell in cells]
        effects, differences, why = self._compared(members, axis, values)
        return [
            Place({axis: value}, sizes[value], columns[value], effects[value], differences[value], why)
            for value in values
        ]

    def _compared(
        self, members: Sequence[Member], axis: str, values: Sequence[str]
    ) -> tuple[dict[str, dict[str, Effect]], dict[str, dict[str, Effect]], str]:
        effects: dict[str, dict[str, Effect]] = {value: {} for value in values}
        differences: dict[str, dict[str, Effect]] = {value: {} for value in values}
        why = ""
        for metric in METRICS:
            try:
                found = self.values.at(members, [{axis: [value]} for value in values], metric).values
                for value, at in zip(values, found, strict=True):
                    effects[value][metric] = _effect(at)
                    if value != values[0]:
                        differences[value][metric] = _effect(at - found[0])
            except (NotThere, InputError) as error:
                why = str(error)
        return effects, differences, why

    def combinations(self) -> list[Place]:
        """A place for each combination of the axes, best on validation prompts first."""
        found: dict[tuple[tuple[str, str], ...], list[Cell]] = {}
        for cell in self.cells:
            key = tuple((axis, cell.axes[axis]) for axis in self.axes if axis in cell.axes)
            found.setdefault(key, []).append(cell)
        places = [Place(dict(key), len(cells), self._columns(cells)) for key, cells in found.items()]
        order = sorted(range(len(places)), key=lambda k: -np.nan_to_num(_first(places[k]), nan=-np.inf))
        by_key = list(found.values())
        return [
            self._with_effects(places[k], by_key[k]) if n < MOST else places[k] for n, k in enumerate(order)
        ]

    def _with_effects(self, place: Place, cells: Sequence[Cell]) -> Place:
        members, effects, why = [_member(cell) for cell in cells], {}, ""
        for metric in METRICS:
            try:
                effects[metric] = _effect(self.values.at(members, [{}], metric).values[0])
            except (NotThere, InputError) as error:
                why = str(error)
        return Place(place.axes, place.cells, place.columns, effects, reason=why)

    def _columns(self, cells: Sequence[Cell]) -> dict[str, float]:
        rows = self.values.results
        here = rows[rows["cell"].isin([cell.fingerprint for cell in cells])]
        return {name: float(here[name].mean()) for name in COLUMNS}

    def controls(self) -> dict[str, float]:
        """The best of all of each control, in deviations, as a mean over the data sets of the sweep."""
        found: dict[str, list[float]] = {}
        for data in self.grid.data:
            for name, cell in self.values.controls(data).items():
                try:
                    found.setdefault(name, []).append(float(np.nanmean(self.values.of(cell, METRICS[0]))))
                except NotThere:
                    continue
        return {name: float(np.mean(values)) for name, values in found.items() if values}


def shown_axes(grid: Grid) -> list[str]:
    """The axes with several values, but for the seed, over which the intervals are."""
    found = {axis: {cell.axes.get(axis) for cell in grid.cells} for axis in grid.axes}
    return [axis for axis, values in found.items() if len(values) > 1 and axis != SEED]


def _first(place: Place) -> float:
    return place.columns[COLUMNS[0]]


def _effect(values: np.ndarray) -> Effect:
    """All means of a sweep are resampled alike, so that none depends on which others are shown."""
    return effect(values, np.random.default_rng(0), ROUGH)


def _member(cell: Cell, axis: str = "") -> Member:
    """A cell by its seed and its value on an axis. All else, the data too, is averaged over for each seed and
    prompt, so that intervals are over these two alone."""
    at = {axis: cell.axes[axis]} if axis else {}
    return Member({**at, SEED: str(cell.settings.seed)}, cell.fingerprint, cell.data)


def _ordered(values: set[str]) -> list[str]:
    """Numbers by size, other values by name."""
    try:
        return sorted(values, key=float)
    except ValueError:
        return sorted(values)
