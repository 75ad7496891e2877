"""rmlab status: what of an experiment is done."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rmlab.errors import RmlabError
from rmlab.pipeline import load_arms, plan
from rmlab.plan import Node


def status_command(overrides: Sequence[str], as_json: bool, config_dir: Path | None) -> None:
    rows = [node_status(node) for node in plan(load_arms(overrides, config_dir))]
    if as_json:
        print(json.dumps({"stages": rows}, indent=2, ensure_ascii=False))
        return
    _print(rows)


def node_status(node: Node) -> dict[str, Any]:
    """state: done, begun (some parts are there), damaged, or missing."""
    row = {"stage": node.stage, "name": node.name, "path": str(node.folder), "state": "missing", "detail": ""}
    if not node.folder.is_dir():
        return row
    if not node.is_done:
        n = len(list(node.folder.glob("part-*.parquet")))
        return row | {"state": "begun", "detail": f"{n} parts" if n else "no parts yet"}
    try:
        manifest = node.open().manifest
    except RmlabError as error:
        return row | {"state": "damaged", "detail": str(error)}
    detail = f"{manifest.rows:,} rows in {manifest.seconds:,.1f} s, {manifest.created}"
    return row | {"state": "done", "detail": detail}


def _print(rows: list[dict[str, Any]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from rmlab.commands.tables import console

    table = Table("stage", "name", "state", "detail", "artifact", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(escape(row[k]) for k in ("stage", "name", "state", "detail", "path")))
    console().print(table, soft_wrap=True)
    left = sum(r["state"] != "done" for r in rows)
    print("all done" if not left else f"{left} of {len(rows)} to do: rmlab run with the same settings")
