"""rmlab sweep: fit and judge a head for every combination of settings, and print the results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from rmlab.commands.run import command_line
from rmlab.config.grid import GridPoint, points
from rmlab.errors import OK, PARTIAL, InputError
from rmlab.logs.records import shell_line
from rmlab.models.compute import available_cores
from rmlab.pipeline.foresee import foresee
from rmlab.pipeline.node import Node
from rmlab.pipeline.problems import Problems, gathering
from rmlab.pipeline.run import Outcome, run_nodes
from rmlab.storage.artifact import Artifact
from rmlab.storage.files import plain
from rmlab.sweeps.plan import not_done, plan_sweep
from rmlab.terminal import note, say, say_json, say_table


def sweep_command(
    overrides: Sequence[str], dry_run: bool, as_json: bool, force: bool, config_dir: Path | None, workers: int
) -> int:
    """Runs a sweep and returns the exit code, as some cells may have failed. workers: 0 for one a core."""
    plan = planned_sweep(points(overrides, config_dir), workers or available_cores(), force, config_dir)
    node, problems = plan.node, plan.problems
    if not as_json:
        say(_count(node))
    if dry_run and plan.is_left:
        outcome, estimated = Outcome(node, "planned"), _estimate(node, problems)
    else:
        outcome, estimated = swept(plan, command_line()), None
    _show(node, outcome, estimated, as_json, problems)
    problems.raise_all()
    return PARTIAL if outcome.artifact and n_failed(outcome.artifact) else OK


@dataclass(frozen=True)
class PlannedSweep:
    """A sweep before it runs. again: cells are run anew, or those that failed; is_left: there is something to
    run; problems: all that would stop it."""

    node: Node
    again: bool
    is_left: bool
    problems: Problems


def planned_sweep(
    grid: Sequence[GridPoint], workers: int, force: bool, config_dir: Path | None
) -> PlannedSweep:
    """Plans a sweep, and looks for all that would stop it."""
    with gathering() as problems:
        node = plan_sweep(grid, workers, fresh=force)
        again = force or _has_failures(node)
        is_left = again or not node.is_done
        foresee([node], problems, force=again)
        for lacking in _missing(node, config_dir) if is_left else []:
            problems.add(InputError(lacking))
    return PlannedSweep(node, again, is_left, problems)


def swept(plan: PlannedSweep, command: str, quiet: bool = False) -> Outcome:
    """Runs what is left of a sweep, unless there are problems; cells that will fail are told of first.

    command: the command line that does the same, for the record.
    """
    plan.problems.raise_all()
    if not quiet:
        note(*plan.problems.notes)
    return run_nodes([plan.node], command, plan.again, quiet, alone=True)[0]


def n_failed(artifact: Artifact) -> int:
    """The number of cells of a sweep that failed."""
    return int(artifact.manifest.counts.get("failed", 0))


def _estimate(node: Node, problems: Problems) -> dict[str, Any]:
    """The estimate of the sweep's time; seconds is None, with the reason, if it cannot run as it is."""
    from rmlab.sweeps.estimate import estimate

    if not problems.errors:
        return estimate(node, available_cores())
    left = len(node.sweep_grid.left)
    known = len(node.sweep_grid.cells) - left
    return {"cells": left, "known": known, "seconds": None, "failing": {}, "reason": "it cannot run yet"}


def _has_failures(node: Node) -> bool:
    """True if the sweep is done with failed cells, which are then tried again; other rows are kept."""
    return node.is_done and n_failed(node.open()) > 0


def _missing(node: Node, config_dir: Path | None) -> list[str]:
    """Messages that name missing inputs of the sweep and the commands that make them."""
    options = ["--config-dir", str(config_dir)] if config_dir else []
    return [
        f"a sweep reads what a run has made, but the {stage} stage is not done: first "
        f"`{shell_line(['rmlab', 'run', *options, *overrides])}`"
        for stage, overrides in not_done(node)
    ]


def _count(node: Node) -> str:
    grid = node.sweep_grid
    axes = ", ".join(f"{k} ({len({c.axes.get(k) for c in grid.cells} - {None})})" for k in grid.axes)
    return f"{len(grid.cells):,} cells over {axes}; {_plural(grid.workers)} of one thread each"


def _plural(workers: int) -> str:
    return f"{workers} worker" if workers == 1 else f"{workers} workers"


def _show(
    node: Node, outcome: Outcome, estimated: dict[str, Any] | None, as_json: bool, problems: Problems
) -> None:
    if as_json:
        document = _document(node, outcome, estimated)
        if estimated is not None:
            document["problems"] = problems.to_json()
        say_json(plain(document))
    elif estimated is not None:
        from rmlab.sweeps.estimate import wording

        say(*wording(estimated))
    elif outcome.artifact is not None:
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


SHOWN = 20
NARROWEST = 80  # columns; a narrower terminal wraps the lines
METRICS = {
    "validation_best_of_n": "validation best of n",
    "test_best_of_n": "test best of n",
    "test_spearman": "Spearman",
    "test_accuracy": "accuracy",
    "error_rate": "wrong answers",
    "seconds": "seconds",
}


def print_results(artifact: Artifact, axes: Sequence[str]) -> None:
    frame = artifact.read("results").to_pandas()
    heads = frame[(frame["kind"] == "head") & (frame["state"] == "ok")]
    shown = [axis for axis in axes if axis != "seed"] or list(axes)
    if len(heads):
        _print_means(heads, shown)
    _print_controls(frame[frame["kind"] != "head"], axes)
    failed = frame[frame["state"] == "failed"]
    for reason, count in failed["reason"].value_counts().items():
        say(f"failed: {count} cell{'s' * (count > 1)}: {reason}")
    if len(failed):
        say("cells that failed are tried again when the same command is run again")
    say(f"results: {artifact.path / 'results.parquet'}")


def _print_controls(controls: pd.DataFrame, axes: Sequence[str]) -> None:
    """Prints the controls, one line for each data set of the sweep."""
    for _, rows in controls.groupby(controls["cell"].str.rpartition("-")[2], sort=False):
        where = [f"{axis}={rows[axis].iloc[0]}" for axis in axes if rows[axis].notna().all()]
        names = [f"{r.kind} {r.test_best_of_n:.3f}" for r in rows.itertuples()]
        say(f"controls{''.join(f' {w}' for w in where)}, test best of n: {', '.join(names)}")


def _print_means(heads: pd.DataFrame, axes: list[str]) -> None:
    grouped = heads.groupby(axes, dropna=False)
    means = grouped[list(METRICS)].mean().assign(cells=grouped.size()).reset_index()
    means = means.sort_values("validation_best_of_n", ascending=False)
    table = []
    for row in means.head(SHOWN).to_dict("records"):
        values = [f"{row[name]:.3f}" for name in METRICS]
        names = ("" if pd.isna(row[axis]) else str(row[axis]) for axis in axes)
        table.append([*names, str(row["cells"]), *values])
    say_table([*axes, "cells", *METRICS.values()], table, narrowest=NARROWEST)
    if len(means) > SHOWN:
        say(f"... and {len(means) - SHOWN} more; sorted by best of n on validation prompts")
