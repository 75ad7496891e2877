"""rmlab status: what of an experiment is done, and why the rest would be run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rmlab.differences import why_missing
from rmlab.pipeline import load_arms, plan
from rmlab.plan import Node
from rmlab.states import States


def status_command(overrides: Sequence[str], as_json: bool, config_dir: Path | None) -> None:
    states = States()
    rows = [node_status(node, states) for node in plan(load_arms(overrides, config_dir))]
    if as_json:
        print(json.dumps({"stages": rows}, indent=2, ensure_ascii=False))
        return
    _print(rows)


def node_status(node: Node, states: States) -> dict[str, Any]:
    """state: done, stale, begun (some parts are there), damaged, or missing; detail: why it is not done."""
    state = states.of(node)
    row = {"stage": node.stage, "name": node.name, "path": str(node.folder), "state": state.name}
    if state.name == "done" and state.artifact:
        made = state.artifact.manifest
        return row | {"detail": f"{made.rows:,} rows in {made.seconds:,.1f} s, {made.created}"}
    return row | {"detail": why_missing(node) if state.name == "missing" else state.why}


def _print(rows: list[dict[str, Any]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from rmlab.commands.tables import console

    table = Table("stage", "name", "state", "detail", "artifact", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(escape(row[k]) for k in ("stage", "name", "state", "detail", "path")))
    console().print(table, soft_wrap=True)
    print(_what_next(rows))


def _what_next(rows: list[dict[str, Any]]) -> str:
    damaged = [row["path"] for row in rows if row["state"] == "damaged"]
    if damaged:
        return f"{len(damaged)} damaged: rmlab verify --repair {damaged[0]}"
    left = sum(row["state"] != "done" for row in rows)
    return "all done" if not left else f"{left} of {len(rows)} to do: rmlab run with the same settings"
