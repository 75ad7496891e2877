"""Why settings ask for another artifact than one that is there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from rmlab.artifacts.artifact import finished
from rmlab.artifacts.manifest import MANIFEST, Manifest
from rmlab.errors import InputError
from rmlab.home import home_path
from rmlab.plan import Node

_MOST = 4  # differences that are told
_NOTHING = object()


def why_missing(node: Node) -> str:
    """What differs from the nearest artifact of that stage; "" if there is none."""
    found = [(list(differences(node, made)), made) for made in _others(node)]
    if not found:
        return ""
    nearest, made = min(found, key=lambda pair: (len(pair[0]), pair[1].name != node.name))
    shown = ", ".join(nearest[:_MOST]) + (f" and {len(nearest) - _MOST} more" if nearest[_MOST:] else "")
    return f"{made.name}-{made.fingerprint[:16]} differs: {shown}" if nearest else ""


def differences(node: Node, made: Manifest) -> Iterator[str]:
    """What was, and what is asked for now."""
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
    for folder in sorted(root.glob("[!.]*")) if root.is_dir() else []:
        if (folder / MANIFEST).is_file():
            try:
                yield finished(folder)
            except InputError:
                continue


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
