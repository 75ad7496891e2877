"""From a grid of settings to one sweep: its cells, what they read, and what is known of them already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rmlab.artifacts.artifact import open_artifact
from rmlab.artifacts.fingerprint import digest
from rmlab.cells import Cell, Grid
from rmlab.errors import ConfigError, RmlabError
from rmlab.grid import Point
from rmlab.pipeline import VERSIONS, chain_of, fit_node, selects, without_selection
from rmlab.plan import Node
from rmlab.settings import Settings

_READ = {"prompts": "prompts", "sample": "sample", "annotate": "judge", "embed": "embed"}
# Settings that change a head and nothing before it.
_OF_HEADS = {
    "comparisons", "pairing", "noise", "selection", "head", "ensemble", "loss", "centring", "validation",
    "evaluation", "seed", "arms", "name",
}  # fmt: skip


def plan_sweep(points: Sequence[Point], workers: int) -> Node:
    """One node for the whole grid; equal cells count once, and active selection brings its random arm."""
    if not points[0].axes:
        raise ConfigError("nothing to sweep: give a setting several values, such as seed=0,1,2")
    chains = _Chains()
    cells: dict[str, Cell] = {}
    for point in _with_random_arms(points):
        cell = chains.cell(point)
        cells.setdefault(cell.fingerprint, cell)
    first = points[0].settings
    config = {"cells": sorted(cells), "axes": list(points[0].axes)}
    return Node(
        "sweep",
        VERSIONS["sweep"],
        first.name,
        config,
        chains.inputs,
        {},
        first,
        grid=Grid(list(cells.values()), workers, _known(Path(first.out).expanduser(), set(cells))),
    )


def _with_random_arms(points: Sequence[Point]) -> list[Point]:
    found = []
    for point in points:
        found.append(point)
        if selects(point.settings):
            axes = point.axes | ({"selection": "uniform"} if "selection" in point.axes else {})
            found.append(Point(point.overrides, axes, without_selection(point.settings)))
    return found


@dataclass
class _Chains:
    """The nodes before the heads, found once for all cells that share them."""

    inputs: dict[str, Node] = field(default_factory=dict)
    _known: dict[str, tuple[str, dict[str, Node]]] = field(default_factory=dict)

    def cell(self, point: Point) -> Cell:
        data, chain = self._chain(point.settings)
        evaluation = point.settings.evaluation.model_dump()
        node = fit_node(chain, "cell", point.settings)
        fingerprint = digest({"fit_rm": node.fingerprint, "evaluation": evaluation})
        return Cell(fingerprint, data, point.axes, point.settings)

    def _chain(self, settings: Settings) -> tuple[str, dict[str, Node]]:
        key = digest(settings.model_dump(exclude=_OF_HEADS))
        if key not in self._known:
            chain = chain_of(settings)
            read = {role: chain[place] for role, place in _READ.items()}
            data = digest({role: node.fingerprint for role, node in read.items()})[:8]
            self.inputs |= {f"{role}:{data}": node for role, node in read.items()}
            self._known[key] = data, chain
        return self._known[key]


def _known(out: Path, wanted: set[str]) -> list[dict[str, Any]]:
    """Rows that other finished sweeps of this folder have of these cells; failures are tried again."""
    rows: dict[str, dict[str, Any]] = {}
    for folder in sorted((out / "sweep").glob("[!.]*")):
        try:
            table = open_artifact(folder).read("results")
        except RmlabError:
            continue
        rows |= {r["cell"]: r for r in table.to_pylist() if r["cell"] in wanted and r["state"] == "ok"}
    return list(rows.values())
