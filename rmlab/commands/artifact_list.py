"""The artifacts in a folder, whatever settings made them: what `rmlab status` shows without settings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from rmlab.pipeline.stages import BY_NAME
from rmlab.pipeline.state import States
from rmlab.pipeline.verify import artifacts_of
from rmlab.storage.artifact import readable
from rmlab.terminal import say, say_json, say_table

_PLAN = "`rmlab status experiment=demo` shows the stages of an experiment, and why they would be run"
_SHOWN = ("stage", "name", "state", "rows", "created", "path")


def list_artifacts(out: Path, as_json: bool) -> None:
    """Prints each artifact in the folder, finished or not, by stage and time."""
    if out.is_dir():
        with readable(out):
            os.scandir(out).close()
    states, by_stage = States(), {name: list[dict[str, Any]]() for name in BY_NAME}
    for place in artifacts_of(out):
        row = _row(place, states)
        by_stage[row["stage"]].append(row)
    found = [row for rows in by_stage.values() for row in sorted(rows, key=_time)]
    if as_json:
        say_json({"artifacts": found})
        return
    if not found:
        say(f"{out} has no artifacts; begin with `rmlab run experiment=smoke`", _PLAN)
        return
    say_table(
        ("stage", "name", "state", "rows", "made", "artifact"),
        [[f"{row[k]:,}" if k == "rows" and row[k] else row[k] or "" for k in _SHOWN] for row in found],
    )
    say(f"{len(found):,} in all; `rmlab inspect` shows what is in one, and why it is stale or damaged", _PLAN)


def _time(row: dict[str, Any]) -> tuple[bool, str]:
    """Returns the key by which artifacts are sorted: those without a time come last."""
    return row["created"] is None, row["created"] or ""


def _row(place: Path, states: States) -> dict[str, Any]:
    state = states.at(place)
    stage = next(p.name for p in (place.parent, place) if p.name in BY_NAME)
    row: dict[str, Any] = {
        "stage": stage,
        "name": place.name.rpartition("-")[0] or place.name,
        "path": str(place),
    }
    row |= {"state": state.name, "rows": None, "created": None}
    if state.artifact is None:
        return row
    made = state.artifact.manifest
    return row | {"name": made.name, "rows": made.rows, "created": made.created}
