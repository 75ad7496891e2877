"""How long a sweep will take: one cell of each head is fitted on a part of its budget, and scaled up."""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch

from rmlab.cells import Cell
from rmlab.errors import RmlabError
from rmlab.plan import Node
from rmlab.settings import Settings

PROBE = 500  # comparisons, at least, of the cell that is timed
SHARE = 8  # of the budget that it is fitted on: one in so many


def estimate(node: Node) -> dict[str, Any]:
    """seconds: of the whole sweep; None where it cannot be told yet, with the reason."""
    grid = node.sweep_grid
    known = {row["cell"] for row in grid.known}
    left = [cell for cell in grid.cells if cell.fingerprint not in known]
    found: dict[str, Any] = {"cells": len(left), "known": len(grid.cells) - len(left), "seconds": None}
    missing = [f"{n.stage} {n.name}" for n in node.inputs.values() if not n.is_done]
    if missing:
        return found | {"reason": f"{missing[0]} is not done: run `rmlab run` without the grid first"}
    by_kind = defaultdict(list)
    for cell in left:
        by_kind[_kind(cell.settings)].append(cell)
    seconds = 0.0
    failing: dict[str, int] = {}
    for cells in by_kind.values():
        try:
            seconds += _seconds(node, cells)
        except RmlabError as error:
            failing[str(error)] = failing.get(str(error), 0) + len(cells)
    return found | {"seconds": seconds / grid.workers, "failing": failing}


def wording(found: dict[str, Any]) -> str:
    taken = f" ({found['known']:,} more are known from other sweeps)" if found["known"] else ""
    if found["seconds"] is None:
        return f"{found['cells']:,} cells to run{taken}; no estimate of time: {found['reason']}"
    minutes = found["seconds"] / 60
    text = f"{minutes:,.0f} minutes" if minutes >= 2 else f"{found['seconds']:,.0f} seconds"
    lines = [f"{found['cells']:,} cells to run{taken}: about {text}"]
    return "\n".join(lines + [f"{n} of them will fail: {why}" for why, n in found["failing"].items()])


def _kind(settings: Settings) -> tuple[str, str, int, int]:
    return (str(settings.head), str(settings.loss), settings.ensemble.members, settings.comparisons.rounds)


def _seconds(node: Node, cells: list[Cell]) -> float:
    """Fitting scales with the budget; scoring and judging do not."""
    from rmlab.stages.cell import fit_and_judge
    from rmlab.stages.cell_data import read_data, write_data

    probe = cells[0]
    n = min(probe.settings.comparisons.n, max(PROBE, probe.settings.comparisons.n // SHARE))
    small = Cell(probe.fingerprint, probe.data, probe.axes, _with_budget(probe.settings, n))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            inputs = {role: upstream.open() for role, upstream in node.inputs.items()}
            data = read_data(write_data(inputs, probe.data, Path(folder) / "data"))
            started = time.perf_counter()
            row = fit_and_judge(small, data)
            judging = time.perf_counter() - started - row["fit_seconds"]
    finally:
        torch.set_num_threads(threads)
    per_comparison = row["fit_seconds"] / n
    return sum(per_comparison * cell.settings.comparisons.n + judging for cell in cells)


def _with_budget(settings: Settings, n: int) -> Settings:
    return settings.model_copy(update={"comparisons": settings.comparisons.model_copy(update={"n": n})})
