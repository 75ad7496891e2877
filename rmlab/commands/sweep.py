"""rmlab sweep: a grid over settings, a head a cell."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rmlab.artifacts.files import plain
from rmlab.commands.run import command_line
from rmlab.compute import available_cores
from rmlab.errors import OK, PARTIAL, InputError
from rmlab.execute import Outcome, run_nodes
from rmlab.grid import points
from rmlab.plan import Node
from rmlab.sweeping import not_done, plan_sweep


def sweep_command(
    overrides: Sequence[str], dry_run: bool, as_json: bool, force: bool, config_dir: Path | None, workers: int
) -> int:
    """workers: 0 for one a core. Returns the exit code: some cells may have failed."""
    node = plan_sweep(points(overrides, config_dir), workers or available_cores(), fresh=force)
    again = force or _has_failures(node)
    is_left = again or not node.is_done
    missing = _missing(node, config_dir) if is_left else None
    if not as_json:
        print(_count(node), flush=True)
    if dry_run and is_left:
        outcome, estimated = Outcome(node, "planned"), _estimate(node, missing)
    elif missing:
        raise InputError(missing)
    else:
        outcome, estimated = run_nodes([node], command_line(), again, alone=True)[0], None
    _show(node, outcome, estimated, as_json)
    return PARTIAL if outcome.artifact and _failed(outcome.artifact.manifest.counts) else OK


def _estimate(node: Node, missing: str | None) -> dict[str, Any]:
    """seconds: None where nothing can be tried yet, with the reason."""
    from rmlab.commands.estimate import estimate

    if missing is None:
        return estimate(node, available_cores())
    left = len(node.sweep_grid.left)
    known = len(node.sweep_grid.cells) - left
    return {"cells": left, "known": known, "seconds": None, "failing": {}, "reason": missing}


def _has_failures(node: Node) -> bool:
    """Cells that failed are tried again; the rows of the others are taken over."""
    return node.is_done and _failed(node.open().manifest.counts)


def _failed(counts: dict[str, int | float]) -> bool:
    return counts.get("failed", 0) > 0


def _missing(node: Node, config_dir: Path | None) -> str | None:
    """What a sweep lacks of its inputs, and the command that makes it."""
    lacking = not_done(node)
    if lacking is None:
        return None
    stage, overrides = lacking
    options = ["--config-dir", str(config_dir)] if config_dir else []
    command = shlex.join(["rmlab", "run", *options, *overrides])
    return f"a sweep reads what a run has made, but the {stage} stage is not done: first `{command}`"


def _count(node: Node) -> str:
    grid = node.sweep_grid
    axes = ", ".join(f"{k} ({len({c.axes.get(k) for c in grid.cells} - {None})})" for k in grid.axes)
    return f"{len(grid.cells):,} cells over {axes}; {_plural(grid.workers)} of one thread each"


def _plural(workers: int) -> str:
    return f"{workers} worker" if workers == 1 else f"{workers} workers"


def _show(node: Node, outcome: Outcome, estimated: dict[str, Any] | None, as_json: bool) -> None:
    if as_json:
        document = _document(node, outcome, estimated)
        print(json.dumps(plain(document), indent=2, ensure_ascii=False, allow_nan=False))
    elif estimated is not None:
        from rmlab.commands.estimate import wording

        print(wording(estimated))
    elif outcome.artifact is not None:
        from rmlab.commands.sweep_tables import print_results

        print_results(outcome.artifact, node.sweep_grid.axes)


def _document(node: Node, outcome: Outcome, estimated: dict[str, Any] | None) -> dict[str, Any]:
    grid = node.sweep_grid
    axes = node.config["axes"]
    found = {"sweep": outcome.to_json(), "cells": len(grid.cells), "axes": axes, "workers": grid.workers}
    if estimated is not None:
        found["estimate"] = estimated
    if outcome.artifact is not None:
        found["results"] = str(outcome.artifact.path / "results.parquet")
    return found
