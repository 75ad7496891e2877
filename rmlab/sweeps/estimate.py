"""Estimates the time of a sweep by trying a cell of each kind, long ones on a part of their comparisons."""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmlab.config.settings import Settings
from rmlab.errors import InputError
from rmlab.models.compute import one_thread
from rmlab.pipeline.node import Cell, Node
from rmlab.storage.digest import digest
from rmlab.terminal import rough_time

WHOLE = 2000  # a cell with at most this many comparisons is tried on all of them
SHARE = 8  # one with more is tried on 1/8 of them, and on 1/16
TRYING = 60.0  # seconds after which further kinds are not tried but take the time of similar ones
START = 5.0  # seconds that worker processes take to start


def estimate(node: Node, cores: int) -> dict[str, Any]:
    """The estimate: seconds of the whole sweep, and the number of cells expected to fail, by reason."""
    left = node.sweep_grid.left
    found = {"cells": len(left), "known": len(node.sweep_grid.cells) - len(left)}
    if not left:
        return found | {"seconds": 0.0, "failing": {}}
    kinds = _in_turn(left)
    costs: list[_Cost | str | None]
    with tempfile.TemporaryDirectory(prefix="rmlab-") as work, one_thread():
        trial = _Trial(node, Path(work))
        costs = [trial.cost(cells[0]) for cells in kinds]
    seconds: list[float] = []
    failing: dict[str, int] = defaultdict(int)
    for cells, cost in zip(kinds, _filled(kinds, costs), strict=True):
        if isinstance(cost, str):
            failing[cost] += len(cells)
        else:
            seconds += [cost.of(cell) for cell in cells]
    workers = min(node.sweep_grid.workers, cores, len(left))
    cells_take = max([sum(seconds) / workers, *seconds])
    return found | {"seconds": START + 2 * trial.preparing + cells_take, "failing": dict(failing)}


def wording(found: dict[str, Any]) -> list[str]:
    """The lines that say what the estimate is."""
    taken = f" ({found['known']:,} more are done already)" if found["known"] else ""
    text = f"{found['cells']:,} cells to run{taken}"
    if found["seconds"] is None:
        return [f"{text}; no estimate of time: {found['reason']}"]
    text += f": about {rough_time(found['seconds'])}"
    failing = [f"{n:,} cells like one that was tried will fail: {why}" for why, n in found["failing"].items()]
    return [text, *failing]


class _Trial:
    """Runs trial cells here until TRYING is over. preparing: seconds spent on writing their data."""

    def __init__(self, node: Node, work: Path) -> None:
        self.inputs = {role: upstream.open() for role, upstream in node.inputs.items()}
        self.work, self.preparing = work, 0.0
        self.until = time.perf_counter() + TRYING
        self._folders: dict[str, Path] = {}
        self._warm: set[str] = set()

    def cost(self, cell: Cell) -> _Cost | str | None:
        """The cost of a cell, the reason why it failed, or None if there was no time left to try it."""
        if self._folders and time.perf_counter() > self.until:
            return None
        try:
            folder = self._folder(cell.data)
            n = cell.settings.comparisons.n
            if _head(cell) not in self._warm:  # a first run imports modules and fills caches
                self._warm.add(_head(cell))
                self._seconds(cell, n and min(n, WHOLE // SHARE), folder)
            if n is None:  # all comparisons, whose number is known only to the fit
                fit, judging = self._seconds(cell, n, folder)
                return _Cost(fit, 0.0, judging)
            if n <= WHOLE:
                fit, judging = self._seconds(cell, n, folder)
                return _Cost(0.0, fit / n, judging)
            more = max(WHOLE, n // SHARE)
            (some, _), (fit, judging) = (self._seconds(cell, m, folder) for m in (more // 2, more))
            slope = max(0.0, fit - some) / (more - more // 2)
            return _Cost(fit - slope * more, slope, judging)
        except InputError as error:
            return str(error)

    def _folder(self, data: str) -> Path:
        from rmlab.sweeps.data import write_data

        if data not in self._folders:
            started = time.perf_counter()
            self._folders[data] = write_data(self.inputs, data, self.work)
            self.preparing += time.perf_counter() - started
        return self._folders[data]

    def _seconds(self, cell: Cell, n: int | None, folder: Path) -> tuple[float, float]:
        """Seconds of the fit, of all members by that of one, and of the rest. n: comparisons; None: all."""
        from rmlab.sweeps.together import run_cell

        small = Cell(cell.fingerprint, cell.data, cell.axes, _smaller(cell.settings, n))
        row = run_cell(small, folder)
        if row["state"] == "failed":
            raise InputError(row["reason"])
        fit = row["fit_seconds"]
        return fit * cell.settings.ensemble.members, row["seconds"] - fit


def _smaller(settings: Settings, n: int | None) -> Settings:
    size = n and max(n, settings.comparisons.rounds)
    comparisons = settings.comparisons.model_copy(update={"n": size})
    ensemble = settings.ensemble.model_copy(update={"members": 1})
    return settings.model_copy(update={"comparisons": comparisons, "ensemble": ensemble})


@dataclass(frozen=True)
class _Cost:
    """Seconds of a cell: a fit that is linear in the number of comparisons, and the time of judging."""

    at_none: float
    per_comparison: float
    judging: float

    def of(self, cell: Cell) -> float:
        return self.at_none + self.per_comparison * (cell.settings.comparisons.n or 0) + self.judging


def _in_turn(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Groups cells that differ in time only by budget, ordered so that each head is tried early."""
    kinds: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        kinds[_kind(cell)].append(cell)
    by_head: dict[str, list[list[Cell]]] = defaultdict(list)
    for kind in kinds.values():
        by_head[_head(kind[0])].append(kind)
    turns = [(turn, kind) for same in by_head.values() for turn, kind in enumerate(same)]
    return [kind for _, kind in sorted(turns, key=lambda pair: pair[0])]


def _kind(cell: Cell) -> str:
    s = cell.settings
    parts = [s.head, s.loss, s.pairing, s.ensemble.members, s.comparisons.rounds, s.comparisons.n is None]
    return digest([cell.data, *parts, s.selection if s.comparisons.rounds > 1 else None])


def _head(cell: Cell) -> str:
    return str(cell.settings.head["_target_"])


def _filled(kinds: list[list[Cell]], costs: list[_Cost | str | None]) -> list[_Cost | str]:
    """The costs, where a kind that was not tried gets the mean of those with its head, or of all."""
    by_head: dict[str, list[_Cost]] = defaultdict(list)
    for kind, cost in zip(kinds, costs, strict=True):
        if isinstance(cost, _Cost):
            by_head[_head(kind[0])].append(cost)
    everything = [cost for found in by_head.values() for cost in found]
    filled: list[_Cost | str] = []
    for kind, cost in zip(kinds, costs, strict=True):
        filled.append(cost if cost is not None else _mean(by_head.get(_head(kind[0])) or everything))
    return filled


def _mean(costs: Sequence[_Cost]) -> _Cost:
    n = max(1, len(costs))
    parts = ((c.at_none, c.per_comparison, c.judging) for c in costs)
    return _Cost(*(sum(part) / n for part in zip(*parts, strict=True))) if costs else _Cost(0.0, 0.0, 0.0)
