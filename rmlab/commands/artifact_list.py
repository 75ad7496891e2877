"""The artifacts in a folder, whatever settings made them: what `rmlab status` shows without settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rmlab.errors import InputError
from rmlab.pipeline.verify import artifacts_of
from rmlab.storage.artifact import Unreadable, is_unfinished, readable
from rmlab.storage.manifest import read_manifest
from rmlab.terminal import say, say_json, say_table

_PLAN = "`rmlab status experiment=demo` shows the stages of an experiment, and why they would be run"


def list_artifacts(out: Path, as_json: bool) -> None:
    """Prints each artifact in the folder, finished or not, by stage and time."""
    by_stage: dict[str, list[dict[str, Any]]] = {}
    for place in artifacts_of(out):
        by_stage.setdefault(place.parent.name, []).append(_row(place))
    found = [row for rows in by_stage.values() for row in sorted(rows, key=_time)]
    if as_json:
        say_json({"artifacts": found})
        return
    if not found:
        say(f"{out} has no artifacts; begin with `rmlab run experiment=smoke`", _PLAN)
        return
    keys = ("stage", "name", "state", "rows", "created", "path")
    shown = [[f"{row[k]:,}" if k == "rows" and row[k] else row[k] or "" for k in keys] for row in found]
    say_table(("stage", "name", "state", "rows", "made", "artifact"), shown)
    say(f"{len(found):,} artifacts; `rmlab inspect` shows what is in one", _PLAN)


def _time(row: dict[str, Any]) -> tuple[bool, str]:
    """Returns the key by which artifacts are sorted: those without a time come last."""
    return row["created"] is None, row["created"] or ""


def _row(place: Path) -> dict[str, Any]:
    name, _, _ = place.name.rpartition("-")
    row = {"stage": place.parent.name, "name": name, "path": str(place), "rows": None, "created": None}
    try:
        with readable(place):
            if is_unfinished(place):
                return {**row, "state": "begun"}
            made = read_manifest(place, checked=False)
    except Unreadable:
        return {**row, "state": "unreadable"}
    except InputError:
        return {**row, "state": "damaged"}
    return {**row, "name": made.name, "state": "done", "rows": made.rows, "created": made.created}
