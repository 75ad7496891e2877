"""rmlab sweep: fit and judge a head for every combination of settings, and print the results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from rmlab.commands.run import command_line
from rmlab.config.grid import GridPoint, points
from rmlab.errors import OK, PARTIAL, ConfigError, InputError
from rmlab.logs.records import shell_line
from rmlab.models.compute import available_cores
from rmlab.pipeline.foresee import foresee
from rmlab.pipeline.node import Node
from rmlab.pipeline.problems import Problems, gathering
from rmlab.pipeline.run import Outcome, run_nodes
from rmlab.pipeline.stages import SWEEP, SWEEP_REPORT
from rmlab.storage.artifact import Artifact
from rmlab.storage.files import plain
from rmlab.storage.sweep_schema import EVERY_AXIS
from rmlab.study.plan import SEED
from rmlab.study.sweep_means import shown_axes
from rmlab.sweeps.plan import not_done, plan_sweep
from rmlab.terminal import note, say, say_json, say_table


def sweep_command(
    overrides: Sequence[str],
    by: Sequence[str],
    dry_run: bool,
    as_json: bool,
    force: bool,
    config_dir: Path | None,
    workers: int,
) -> int:
    """Runs a sweep and returns the exit code, as some cells may have failed.

    by: the axes whose values are printed, instead of all combinations; workers: 0 for one a core.
    """
    plan = planned_sweep(points(overrides, config_dir), workers or available_cores(), force, config_dir)
    node, problems = plan.node, plan.problems
    known = shown_axes(node.sweep_grid)
    if unknown := [axis for axis in by if axis not in known]:
        why = (
            "means are over all seeds" if unknown[0] == SEED else "no axis of this sweep with several values"
        )
        raise ConfigError(f"--by {unknown[0]}: {why}" + (f"; there is: {', '.join(known)}" if known else ""))
    if not as_json:
        say(_count(node))
    if dry_run and plan.is_left:
        outcome, estimated = Outcome(node, "planned"), _estimate(node, problems)
    else:
        outcome, estimated = swept(plan, command_line()), None
    is_known = outcome.artifact and not (dry_run and not report_node(node).is_done)
    report = reported(node, force, command_line()) if is_known else None
    _show(node, outcome, report, estimated, as_json, by, problems)
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


def reported(sweep: Node, force: bool, command: str) -> Artifact | None:
    """Makes the report of a finished sweep, unless it is there."""
    return run_nodes([report_node(sweep)], command, force, quiet=True)[0].artifact


def report_node(sweep: Node) -> Node:
    """The node that shows a sweep by each of its axes."""
    inputs, stage = {SWEEP.name: sweep}, SWEEP_REPORT
    return Node(stage.name, stage.version, sweep.name, {}, inputs, {}, sweep.settings, sweep.sweep_grid)


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
    node: Node,
    outcome: Outcome,
    report: Artifact | None,
    estimated: dict[str, Any] | None,
    as_json: bool,
    by: Sequence[str],
    problems: Problems,
) -> None:
    if as_json:
        document = _document(node, outcome, report, estimated)
        if estimated is not None:
            document["problems"] = problems.to_json()
        say_json(plain(document))
    elif estimated is not None:
        from rmlab.sweeps.estimate import wording

        say(*wording(estimated))
    elif outcome.artifact is not None:
        print_results(outcome.artifact, report, by)


def _document(
    node: Node, outcome: Outcome, report: Artifact | None, estimated: dict[str, Any] | None
) -> dict[str, Any]:
    grid = node.sweep_grid
    axes = node.config["axes"]
    found = {"sweep": outcome.to_json(), "cells": len(grid.cells), "axes": axes, "workers": grid.workers}
    if estimated is not None:
        found["estimate"] = estimated
    if outcome.artifact is not None:
        found["results"] = str(outcome.artifact.path / "results.parquet")
    if report is not None:
        found["report"] = str(report.path / _PAGE)
    return found


SHOWN = 20
NARROWEST = 80  # columns; a narrower terminal wraps the lines
_PAGE = "report.html"
# The columns of the printed table: the metric, the name of its value in the table of means, and the title.
# Those with an interval have a second column.
_PRINTED = (
    ("validation_best_of_n", "value", "validation best of n"),
    ("best_of_largest", "value", "best of n, deviations"),
    ("best_of_largest", "less_first", "less the first"),
    ("spearman", "value", "Spearman"),
    ("error_rate", "value", "wrong answers"),
)
_LOW = {"value": "low", "less_first": "less_first_low"}
_WITH_INTERVAL = ("best_of_largest", "spearman")


def print_results(artifact: Artifact, report: Artifact | None, by: Sequence[str]) -> None:
    """report: that of the sweep; a dry run, which writes nothing, may have none."""
    frame = artifact.read("results").to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    if report:
        means = report.read("sweep_means").to_pandas()
        for axis in dict.fromkeys(by or [EVERY_AXIS]):
            _print_means(means[means["by"] == axis])
    _print_controls(frame[frame["kind"] != "head"], artifact.manifest.config["axes"])
    failed = frame[frame["state"] == "failed"]
    for reason, count in failed["reason"].value_counts().items():
        say(f"failed: {count} cell{'s' * (count > 1)}: {reason}")
    if len(failed):
        say("cells that failed are tried again when the same command is run again")
    say(f"results: {artifact.path / 'results.parquet'}")
    if report:
        say(f"report: {report.path / _PAGE}")


def _print_controls(controls: pd.DataFrame, axes: Iterable[str]) -> None:
    """Prints the controls, one line for each data set of the sweep."""
    for _, rows in controls.groupby(controls["cell"].str.rpartition("-")[2], sort=False):
        where = [f"{axis}={rows[axis].iloc[0]}" for axis in axes if rows[axis].notna().all()]
        names = [f"{r.kind} {r.test_best_of_n:.3f}" for r in rows.itertuples()]
        say(f"controls{''.join(f' {w}' for w in where)}, test best of n: {', '.join(names)}")


def _print_means(means: pd.DataFrame) -> None:
    """Prints a line for each place, with intervals over seeds and prompts."""
    places = [json.loads(place) for place in dict.fromkeys(means["place"])]
    axes = list(dict.fromkeys(axis for place in places for axis in place))
    rows = means.set_index(["place", "metric"]).to_dict("index")
    printed = [row for row in _PRINTED if row[1] == "value" or means[row[1]].notna().any()]
    table = []
    for place in places[:SHOWN]:
        found = {
            metric: rows.get((json.dumps(place, ensure_ascii=False), metric)) for metric, _, _ in printed
        }
        n_cells = next((str(row["n_cells"]) for row in found.values() if row), "0")
        cells = [cell for metric, name, _ in printed for cell in _cells(metric, name, found[metric])]
        table.append([*(place.get(axis, "") for axis in axes), n_cells, *cells])
    titles = [[title, "95% interval"][: 1 + (m in _WITH_INTERVAL)] for m, _, title in printed]
    if table:
        say_table([*axes, "cells", *(name for of in titles for name in of)], table, narrowest=NARROWEST)
    if len(places) > SHOWN:
        say(f"... and {len(places) - SHOWN} more; sorted by best of n on validation prompts")


def _cells(metric: str, name: str, row: dict[str, Any] | None) -> list[str]:
    """The value and, for some metrics, its interval."""
    shown, interval = "", ""
    if row is not None and not pd.isna(row[name]):
        low, high = row[_LOW[name]], row[_LOW[name].replace("low", "high")]
        shown, interval = f"{row[name]:.3f}", f"{low:+.3f} to {high:+.3f}"
    return [shown, interval] if metric in _WITH_INTERVAL else [shown]
