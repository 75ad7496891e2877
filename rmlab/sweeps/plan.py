"""Plans a sweep from a grid of settings: its cells, their inputs, and the cells that are done already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from rmlab.config.grid import GridPoint
from rmlab.errors import ConfigError, InputError, RmlabError
from rmlab.paths import home_path
from rmlab.pipeline.chain import OF_HEADS, chain_of, fit_node, objective_nodes
from rmlab.pipeline.node import Cell, Grid, Known, Node, Source
from rmlab.pipeline.plan import selection_name, selects, without_selection
from rmlab.pipeline.stages import EVAL_RM, SWEEP
from rmlab.pipeline.state import States
from rmlab.storage.artifact import Artifact, artifacts_in, open_artifact
from rmlab.storage.digest import digest
from rmlab.storage.owned import begun_with
from rmlab.storage.replacement import place_of_work
from rmlab.storage.sweep_schema import sweep_table
from rmlab.sweeps.rows import FIELD, RowLog, packed_by_cell

# The version of a cell's row. Raise it, with that of the stage, when equal settings give another row; while
# it stays, rows of sweeps that an earlier version of the stage made are taken over.
_ROW = 5
_READ = {"prompts": "prompts", "sample": "sample", "annotate": "judge", "embed": "embed"}


def plan_sweep(points: Sequence[GridPoint], workers: int, fresh: bool = False) -> Node:
    """One node for the whole grid, each cell once; active selection adds its random arm.

    fresh: take no rows from finished sweeps.
    """
    if not points[0].axes:
        raise ConfigError("nothing to sweep: give a setting several values, such as seed=0,1,2")
    if len({point.settings.out for point in points}) > 1:
        raise ConfigError("cells differ in `out`, and a sweep writes into one folder: give one out=FOLDER")
    chains = CellChains()
    cells: dict[str, Cell] = {}
    points = _with_random_arms(points)
    for point in points:
        cell = chains.cell(point)
        cells.setdefault(cell.fingerprint, cell)
    first = points[0].settings
    axes = list(dict.fromkeys(axis for point in points for axis in point.axes))
    grid = Grid(list(cells.values()), axes, workers, made_by=chains.made_by)
    version = SWEEP.version
    config, read = _config(grid), (chains.inputs, chains.sources)
    node = Node(SWEEP.name, version, first.name, config, *read, first, grid=grid)
    known = {} if fresh else _known(home_path(first.out), set(cells))
    if not (fresh and node.is_done):  # a sweep that was begun goes on
        begun = place_of_work(node.folder)
        made_of = begun_with(begun) or {}
        known |= {cell: Known(row, made_of) for cell, row in RowLog.of(begun).done().items()}
    data = {cell.fingerprint: cell.data for cell in grid.cells}
    now = _contents(chains.inputs)
    kept = [k for cell, k in known.items() if cell in data and k.is_of(data[cell], now)]
    return replace(node, grid=replace(grid, known=kept))


def _contents(inputs: Mapping[str, Node]) -> dict[str, str]:
    """The content of each input that exists, by role."""
    states = States()
    found = {role: states.of(node).artifact for role, node in inputs.items()}
    return {role: artifact.manifest.content for role, artifact in found.items() if artifact}


def _config(grid: Grid) -> dict[str, Any]:
    """The node's configuration, which does not depend on the order of axes and values."""
    values = {axis: {cell.axes[axis] for cell in grid.cells if axis in cell.axes} for axis in grid.axes}
    return {
        "axes": {axis: sorted(found) for axis, found in values.items()},
        "n_cells": len(grid.cells),
        "cells": digest(sorted(cell.fingerprint for cell in grid.cells)),
    }


def _with_random_arms(points: Sequence[GridPoint]) -> list[GridPoint]:
    """Adds the random arm of each point with active selection, and `selection` as an axis."""
    if not any(selects(point.settings) for point in points):
        return list(points)
    found = []
    for point in points:
        name = selection_name(point.settings)
        axes = {"selection": name, **point.axes}
        found.append(GridPoint(point.overrides, axes, point.settings))
        if selects(point.settings):
            rest = {axis: value for axis, value in axes.items() if not axis.startswith("selection.")}
            random = without_selection(point.settings)
            found.append(GridPoint(point.overrides, rest | {"selection": "uniform"}, random))
    return found


@dataclass
class CellChains:
    """Makes cells of points; the nodes that heads read are made once for all points that share them.

    sources: what the recipes of the heads themselves are made of outside, such as the user's code.
    """

    inputs: dict[str, Node] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)
    made_by: dict[str, list[str]] = field(default_factory=dict)
    _known: dict[str, tuple[str, dict[str, Node]]] = field(default_factory=dict)

    def cell(self, point: GridPoint) -> Cell:
        data, chain = self._chain(point)
        evaluation = point.settings.evaluation.model_dump(exclude={"select_by"})
        node = fit_node(chain, "cell", point.settings)
        self.sources |= {f"{source.kind}:{source.name}": source for source in node.sources.values()}
        versions = {EVAL_RM.name: EVAL_RM.version, SWEEP.name: _ROW}
        decisive = {"fit_rm": node.fingerprint, "evaluation": evaluation, "versions": versions}
        return Cell(digest(decisive), data, point.axes, point.settings)

    def _chain(self, point: GridPoint) -> tuple[str, dict[str, Node]]:
        settings = point.settings
        key = digest(settings.model_dump(exclude=OF_HEADS))
        if key not in self._known:
            chain = chain_of(settings)
            read = {role: chain[place] for role, place in _READ.items()}
            read |= objective_nodes(settings, chain)
            data = digest({role: node.fingerprint for role, node in read.items()})[:8]
            self.inputs |= {f"{role}:{data}": node for role, node in read.items()}
            self.made_by[data] = [o for o in point.overrides if not _changes_heads_alone(o, point)]
            self._known[key] = data, chain
        return self._known[key]


def _changes_heads_alone(override: str, point: GridPoint) -> bool:
    """True if an override changes only the head; head@teacher.head=mlp counts by its group, head."""
    key = override.partition("=")[0].lstrip("+~")
    return key in point.axes and key.partition(".")[0].partition("@")[0] in OF_HEADS


def not_done(node: Node) -> list[tuple[str, list[str]]]:
    """Returns, for each data that the cells read, the first missing stage and the overrides of its run.

    Damage is an error.
    """
    found: dict[str, tuple[str, list[str]]] = {}
    for role, upstream in node.inputs.items():
        state, data = upstream.state, role.rpartition(":")[2]
        if state.name in ("damaged", "unreadable"):
            raise InputError(state.why)
        if state.name != "done":
            found.setdefault(data, (upstream.stage, list(node.sweep_grid.made_by[data])))
    return list(found.values())


def _known(out: Path, wanted: set[str]) -> dict[str, Known]:
    """Rows of these cells in finished sweeps of this folder, without failures, which are tried again."""
    rows: dict[str, Known] = {}
    for folder in artifacts_in(out / SWEEP.name):
        try:
            rows |= _rows_of(open_artifact(folder), wanted)
        except RmlabError:  # unfinished, damaged, unreadable, or being written
            continue
    return rows


def _rows_of(artifact: Artifact, wanted: set[str]) -> dict[str, Known]:
    columns = [column.name for column in sweep_table().columns]
    table = artifact.read("results")
    if not set(columns) <= set(table.column_names):  # made by another version
        return {}
    is_wanted = pc.is_in(table["cell"], pa.array(sorted(wanted)))
    kept = table.select(columns).filter(pc.and_(is_wanted, pc.equal(table["state"], "ok")))
    if not kept.num_rows:
        return {}
    values = packed_by_cell(artifact.read("cell_prompts"), kept["cell"].combine_chunks())
    made_of = artifact.manifest.made_of
    rows = [row | {FIELD: values[row["cell"]]} for row in kept.to_pylist()]
    return {row["cell"]: Known(row, made_of) for row in rows}
