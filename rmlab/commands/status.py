"""rmlab status: show which stages of an experiment are done, and which settings differ from existing ones."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rmlab.commands.artifact_list import list_artifacts
from rmlab.config.hydra import load_settings
from rmlab.errors import InputError
from rmlab.paths import home_path
from rmlab.pipeline.foresee import check_local
from rmlab.pipeline.node import Node
from rmlab.pipeline.plan import load_arms, plan
from rmlab.pipeline.state import States
from rmlab.storage.artifact import artifacts_in, is_unfinished
from rmlab.storage.manifest import Manifest, read_manifest
from rmlab.terminal import say, say_json, say_table

_MOST = 4  # differences shown
_NOTHING = object()


@dataclass(frozen=True)
class Beside:
    """The finished artifacts of each stage, which are read once for all nodes that are compared with them."""

    _known: dict[Path, _Made] = field(default_factory=dict)

    def why_missing(self, node: Node) -> str:
        """The differences from the most similar artifact of the stage; "" if there is none."""
        made = self._nearest(node)
        found = list(differences(node, made)) if made else []
        if made is None or not found:
            return ""
        shown = ", ".join(found[:_MOST]) + (f" and {len(found) - _MOST} more" if found[_MOST:] else "")
        return f"{made.name}-{made.fingerprint[:16]} differs: {shown}"

    def _nearest(self, node: Node) -> Manifest | None:
        """The artifact that differs least, and has the node's name among those that differ alike."""
        inputs = {role: upstream.fingerprint for role, upstream in node.inputs.items()}
        sources = {role: source.identity for role, source in node.sources.items()}
        own = _traits(node.version, node.config, inputs | sources)
        root = home_path(node.settings.out) / node.stage
        if root not in self._known:
            self._known[root] = _Made.of(_finished(root))
        nearest = self._known[root].nearest(own)
        return next((made for made in nearest if made.name == node.name), nearest[0] if nearest else None)


@dataclass(frozen=True, eq=False)
class _Made:
    """The artifacts of a stage. n_traits: [n] of each; having: the numbers of those that have a trait."""

    manifests: list[Manifest]
    n_traits: np.ndarray
    having: dict[Any, np.ndarray]

    @classmethod
    def of(cls, manifests: Iterable[Manifest]) -> _Made:
        found = list(manifests)
        having: dict[Any, list[int]] = {}
        sizes = np.zeros(len(found), dtype=int)
        for k, made in enumerate(found):
            traits = _traits(made.version, made.config, {r.role: r.fingerprint for r in made.inputs})
            sizes[k] = len(traits)
            for trait in traits:
                having.setdefault(trait, []).append(k)
        return cls(found, sizes, {trait: np.array(numbers) for trait, numbers in having.items()})

    def nearest(self, own: frozenset[Any]) -> list[Manifest]:
        """Returns those that differ least from these traits, in their order."""
        if not self.manifests:
            return []
        shared = np.zeros(len(self.manifests), dtype=int)
        for trait in own & self.having.keys():
            shared[self.having[trait]] += 1
        differing = len(own) + self.n_traits - 2 * shared
        return [self.manifests[k] for k in np.flatnonzero(differing == differing.min())]


def _traits(version: int, config: Mapping[str, Any], inputs: Mapping[str, str]) -> frozenset[Any]:
    """All that an artifact's fingerprint is made of, as a set whose members can be compared one by one."""
    flat = ((key, str(value) if isinstance(value, list) else value) for key, value in _flat(config))
    return frozenset([("version", version), *inputs.items(), *flat])


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


def _finished(root: Path) -> Iterator[Manifest]:
    for folder in artifacts_in(root):
        with suppress(InputError, OSError):
            if not is_unfinished(folder):
                yield read_manifest(folder, checked=False)


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
    if all(text.lstrip("+").startswith("out=") for text in overrides):
        out = load_settings(overrides, config_dir).out
        check_local(out)
        list_artifacts(home_path(out), as_json)
        return
    states, beside = States(), Beside()
    rows = [_row(node, states, beside) for node in plan(load_arms(overrides, config_dir))]
    if as_json:
        say_json({"stages": rows})
        return
    _print(rows)


def _row(node: Node, states: States, beside: Beside) -> dict[str, Any]:
    """The row of a node: its state, and why it is not done."""
    state = states.of(node)
    row = {"stage": node.stage, "name": node.name, "path": str(node.folder), "state": state.name}
    if state.name == "done" and state.artifact:
        made = state.artifact.manifest
        return row | {"detail": f"{made.rows:,} rows in {made.seconds:,.1f} s, {made.created}"}
    return row | {"detail": beside.why_missing(node) if state.name == "missing" else state.why}


def _print(rows: list[dict[str, Any]]) -> None:
    shown = [[row[k] for k in ("stage", "name", "state", "detail", "path")] for row in rows]
    say_table(("stage", "name", "state", "detail", "artifact"), shown)
    say(_what_next(rows))


def _what_next(rows: list[dict[str, Any]]) -> str:
    damaged = [row["path"] for row in rows if row["state"] == "damaged"]
    if damaged:
        return f"{len(damaged)} damaged: rmlab verify --repair {damaged[0]}"
    left = sum(row["state"] != "done" for row in rows)
    return "all done" if not left else f"{left} of {len(rows)} to do: rmlab run with the same settings"
