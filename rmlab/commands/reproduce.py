"""rmlab reproduce: judge the findings of a study by a sweep."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rmlab.commands.run import command_line
from rmlab.errors import OK, PARTIAL
from rmlab.models.compute import available_cores
from rmlab.pipeline.costs import costs_of, wording
from rmlab.pipeline.foresee import foresee
from rmlab.pipeline.node import Node
from rmlab.pipeline.plan import in_order
from rmlab.pipeline.problems import Problems, gathering
from rmlab.pipeline.run import Outcome, run_nodes
from rmlab.storage.artifact import Artifact
from rmlab.storage.files import plain
from rmlab.study.finding import load_findings
from rmlab.study.plan import plan_study
from rmlab.study.verdict import VERDICTS
from rmlab.terminal import note, say, say_json, say_table


def reproduce_command(
    overrides: Sequence[str],
    only: Sequence[str],
    all_setups: bool,
    dry_run: bool,
    as_json: bool,
    force: bool,
    config_dir: Path | None,
    workers: int,
) -> int:
    """only: names of findings, none means all; all_setups: each on every set-up of the embedding set.

    Returns the exit code: some cells may have failed.
    """
    findings = load_findings(only, config_dir)
    n_workers = workers or available_cores()
    with gathering() as problems:
        node = plan_study(findings, overrides, n_workers, config_dir, fresh=force, all_setups=all_setups)
        sweep = node.inputs["sweep"]
        before = [n for n in in_order(sweep) if n is not sweep]
        costs = costs_of(foresee(before, problems), problems)
        foresee([sweep, node], problems, force=force)
    if not as_json:
        grid = sweep.sweep_grid
        of = f"{_plural(len(findings), 'finding')}, {_plural(len(node.config['setups']), 'set-up')}"
        say(f"{of}, {len(grid.cells):,} cells, {len(grid.left):,} to run")
    if dry_run:
        outcomes = [Outcome.expected(n, force) for n in in_order(node)]
    else:
        problems.raise_all()
        note(*problems.notes)
        outcomes = _run(node, before, force)
    _show(node, outcomes, as_json, problems)
    if dry_run and not as_json and any(o.state == "planned" for o in outcomes[:-2]):
        say(f"before the sweep, {wording(costs)}")
    problems.raise_all()
    made = outcomes[-1].artifact
    failed = sweep.open().manifest.counts.get("failed", 0) if made else 0
    return PARTIAL if failed else OK


def _plural(n: int, noun: str) -> str:
    return f"1 {noun}" if n == 1 else f"{n} {noun}s"


def _run(node: Node, before: Sequence[Node], force: bool) -> list[Outcome]:
    """Runs the study, and first what its sweep reads if missing. force: fit heads and judge again, no
    more."""
    sweep = node.inputs["sweep"]
    outcomes = run_nodes(before, command_line())
    again = force or (sweep.is_done and sweep.open().manifest.counts.get("failed", 0) > 0)
    outcomes += run_nodes([sweep], command_line(), force=again)
    renewed = outcomes[-1].state == "done"
    return outcomes + run_nodes([node], command_line(), force=force or renewed)


def _show(node: Node, outcomes: Sequence[Outcome], as_json: bool, problems: Problems) -> None:
    made = outcomes[-1].artifact
    if as_json:
        document = _document(node, outcomes, made)
        if made is None:
            document["problems"] = problems.to_json()
        say_json(plain(document))
    elif made is None:
        from rmlab.commands.printing import print_stages

        print_stages(list(outcomes))
    else:
        _print_findings(made)
        say(f"findings: {made.path / 'findings.parquet'}")
        say(f"report: {made.path / 'report.html'}")


def _document(node: Node, outcomes: Sequence[Outcome], made: Artifact | None) -> dict[str, Any]:
    grid = node.inputs["sweep"].sweep_grid
    found = {"stages": [o.to_json() for o in outcomes], "cells": len(grid.cells), "left": len(grid.left)}
    if made is not None:
        found["findings"] = made.read("findings").to_pylist()
        found["findings_by_setup"] = made.read("findings_by_setup").to_pylist()
        found["report"] = str(made.path / "report.html")
    return found


def _print_findings(artifact: Artifact) -> None:
    names = ("finding", "claim", "set-up", "effect", "95% interval", "verdict", "could show")
    table = []
    rows = artifact.read("findings").to_pylist()
    for row in rows:
        known = not math.isnan(row["effect"])
        interval = f"{row['low']:+.3f} to {row['high']:+.3f}" if known else "-"
        numbers = (f"{row['effect']:+.3f}" if known else "-", interval)
        edge = " (at the edge)" if row["at_edge"] else ""
        verdict = row["verdict"] + (" *" if row["survives_holm"] else "") + edge
        power = f"{row['detectable']:.3f}" if known else "-"
        table.append((row["finding"], row["claim"], row["setup"], *numbers, verdict, power))
    say_table(names, table)
    found = Counter(row["corrected"] for row in rows)
    told = ", ".join(f"{found[word]} {word}" for word in VERDICTS if found[word])
    say(f"{_plural(len(rows), 'claim')} after Holm's correction over all of them: {told}")
    say("* survives that correction; golden rewards in their standard deviations")
