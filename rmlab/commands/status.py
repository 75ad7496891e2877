"""rmlab status: show which stages of an experiment are done, and which settings differ from existing ones."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rmlab.errors import InputError
from rmlab.paths import home_path
from rmlab.pipeline.node import Node
from rmlab.pipeline.plan import load_arms, plan
from rmlab.pipeline.state import States
from rmlab.storage.artifact import artifacts_in, finished
from rmlab.storage.manifest import Manifest
from rmlab.terminal import say, say_json, say_table

_MOST = 4  # differences shown
_NOTHING = object()


def why_missing(node: Node) -> str:
    """The differences from the most similar artifact of the stage; "" if there is none."""
    found = [(list(differences(node, made)), made) for made in _others(node)]
    if not found:
        return ""
    nearest, made = min(found, key=lambda pair: (len(pair[0]), pair[1].name != node.name))
    shown = ", ".join(nearest[:_MOST]) + (f" and {len(nearest) - _MOST} more" if nearest[_MOST:] else "")
    return f"{made.name}-{made.fingerprint[:16]} differs: {shown}" if nearest else ""


def differences(node: Node, made: Manifest) -> Iterator[str]:
    """Yields each difference between a finished artifact and the node: `setting old -> new`."""
    if made.version != node.version:
        yield f"stage version {made.version} -> {node.version}"
    before, now = dict(_flat(made.config)), dict(_flat(node.config))
    for key in dict.fromkeys([*before, *now]):
        was, is_now = before.get(key, _NOTHING), now.get(key, _NOTHING)
        if was != is_now:
            yield f"{key} {_shown(was)} -> {_shown(is_now)}"
    records = {record.role: record for record in made.inputs}
    for role, upstream in node.inputs.items():
        if role not in records or records[role].fingerprint != upstream.fingerprint:
            yield f"another {role}"
    for role, source in node.sources.items():
        known = records.get(role)
        if known is None or known.fingerprint != source.identity:
            same = known is not None and known.name == source.name
            yield f"{source.name} has changed" if same else f"{role} is {source.name}"


def _others(node: Node) -> Iterator[Manifest]:
    root = home_path(node.settings.out) / node.stage
    for folder in artifacts_in(root):
        with suppress(InputError):
            yield finished(folder)


def _flat(value: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(item, f"{where}.{key}" if where else str(key))
    else:
        yield where, value if not isinstance(value, tuple) else list(value)


def _shown(value: Any) -> str:
    if value is _NOTHING:
        return "nothing"
    text = json.dumps(value, ensure_ascii=True, default=str)
    return text if len(text) <= 40 else text[:39] + "…"


def status_command(overrides: Sequence[str], as_json: bool, config_dir: Path | None) -> None:
    states = States()
    rows = [node_status(node, states) for node in plan(load_arms(overrides, config_dir))]
    if as_json:
        say_json({"stages": rows})
        return
    _print(rows)


def node_status(node: Node, states: States) -> dict[str, Any]:
    """The row of a node: its state (done, stale, begun, damaged or missing), and why it is not done."""
    state = states.of(node)
    row = {"stage": node.stage, "name": node.name, "path": str(node.folder), "state": state.name}
    if state.name == "done" and state.artifact:
        made = state.artifact.manifest
        return row | {"detail": f"{made.rows:,} rows in {made.seconds:,.1f} s, {made.created}"}
    return row | {"detail": why_missing(node) if state.name == "missing" else state.why}


def _print(rows: list[dict[str, Any]]) -> None:
    shown = [[row[k] for k in ("stage", "name", "state", "detail", "path")] for row in rows]
    say_table(("stage", "name", "state", "detail", "artifact"), shown, soft=True)
    say(_what_next(rows))


def _what_next(rows: list[dict[str, Any]]) -> str:
    damaged = [row["path"] for row in rows if row["state"] == "damaged"]
    if damaged:
        return f"{len(damaged)} damaged: rmlab verify --repair {damaged[0]}"
    left = sum(row["state"] != "done" for row in rows)
    return "all done" if not left else f"{left} of {len(rows)} to do: rmlab run with the same settings"
