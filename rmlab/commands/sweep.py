"""rmlab sweep: a grid over settings, a head a cell."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rmlab.artifacts.files import plain
from rmlab.commands.run import command_line
from rmlab.errors import OK, PARTIAL
from rmlab.execute import Outcome, run_nodes
from rmlab.grid import points
from rmlab.plan import Node
from rmlab.sweeping import plan_sweep


def sweep_command(
    overrides: Sequence[str], dry_run: bool, as_json: bool, force: bool, config_dir: Path | None, workers: int
) -> int:
    """workers: 0 for one a core. Returns the exit code: some cells may have failed."""
    node = plan_sweep(points(overrides, config_dir), workers or _cores())
    outcome = _planned(node, force) if dry_run else run_nodes([node], command_line(), force, alone=True)[0]
    if as_json:
        print(json.dumps(plain(_document(node, outcome, dry_run)), indent=2, ensure_ascii=False))
    else:
        _print(node, outcome, dry_run)
    failed = outcome.artifact.manifest.counts["failed"] if outcome.artifact else 0
    return PARTIAL if failed else OK


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _planned(node: Node, force: bool) -> Outcome:
    done = node.is_done and not force
    return Outcome(node, "already" if done else "planned", node.open() if done else None)


def _document(node: Node, outcome: Outcome, dry_run: bool) -> dict[str, Any]:
    grid = node.sweep_grid
    found: dict[str, Any] = {"sweep": outcome.to_json(), "cells": len(grid.cells), "workers": grid.workers}
    if dry_run and outcome.state == "planned":
        from rmlab.commands.estimate import estimate

        found["estimate"] = estimate(node)
    if outcome.artifact is not None:
        found["results"] = str(outcome.artifact.path / "results.parquet")
    return found


def _print(node: Node, outcome: Outcome, dry_run: bool) -> None:
    from rmlab.commands.sweep_tables import print_results

    grid = node.sweep_grid
    axes = ", ".join(f"{k} ({len({c.axes[k] for c in grid.cells})})" for k in grid.cells[0].axes)
    print(f"{len(grid.cells):,} cells over {axes}; {grid.workers} workers of one thread each")
    if dry_run and outcome.state == "planned":
        from rmlab.commands.estimate import estimate, wording

        print(wording(estimate(node)))
    elif outcome.artifact is not None:
        print_results(outcome.artifact, list(grid.cells[0].axes))
