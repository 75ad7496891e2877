"""About how long the stages of a plan take, and how much they write.

An earlier artifact of the same kind in the same folder tells the rate. Where there is none, rates that were
measured on two cores are taken, for what they were measured on. Of the rest it is said that nothing is known.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from rmlab.config.components import build, recorded_name
from rmlab.config.settings import Settings
from rmlab.errors import InputError, RmlabError
from rmlab.models.bundled.smollm2 import NAME as SMOLLM2
from rmlab.models.compute import available_cores, has_gpu
from rmlab.models.weights import width_of
from rmlab.paths import home_path
from rmlab.pipeline.counts import n_responses
from rmlab.pipeline.node import Node
from rmlab.pipeline.problems import Problems
from rmlab.pipeline.stages import ANNOTATE, EMBED, FIT_RM, SAMPLE, SFT
from rmlab.storage.artifact import artifacts_in, finished
from rmlab.storage.manifest import Manifest

CORES = 2  # on which the rates were measured, see RESULTS.md
# Seconds of a token (sample, embed), or of a demonstration in an epoch (sft), by stage, component and model.
RATES = {
    (SFT.name, "lora", SMOLLM2): 1.0,
    (SAMPLE.name, "transformers", SMOLLM2): 1 / 231,
    (EMBED.name, "transformers", SMOLLM2): 1 / 370,
}
BYTES_A_ROW = {ANNOTATE.name: 40, FIT_RM.name: 150}
_IDS = 60  # bytes of a row's ids and counts, beside its vector or text
_A_TOKEN = 4  # bytes of text


@dataclass(frozen=True)
class Cost:
    """About what a node takes; None where it is not known. certain: bytes that it writes at the least."""

    seconds: float | None
    bytes: float | None
    certain: float = 0.0


def costs_of(nodes: Sequence[Node], problems: Problems) -> dict[str, Any]:
    """About what these nodes take together: seconds and bytes, and `unknown`, the stages that are in neither.

    A plan that writes more embeddings than the disk has room for is a problem.
    """
    found = {node.fingerprint: _cost(node, problems) for node in nodes}
    known = [cost.seconds for cost in found.values() if cost.seconds is not None]
    written = [cost.bytes for cost in found.values() if cost.bytes is not None]
    if nodes:
        with problems.caught():
            _check_room(nodes[0].settings.out, sum(cost.certain for cost in found.values()))
    unknown = [node.stage for node in nodes if found[node.fingerprint].seconds is None]
    return {"seconds": sum(known), "bytes": sum(written), "unknown": list(dict.fromkeys(unknown))}


def wording(costs: dict[str, Any]) -> str:
    """The line that tells of the costs."""
    unknown = ", ".join(costs["unknown"])
    time = f"about {duration(costs['seconds'])}" if costs["seconds"] else "no time is known"
    rest = f" (of {unknown} the time is not known)" if costs["seconds"] and unknown else ""
    return f"to make: {time}{rest}, about {size(costs['bytes'])}"


def duration(seconds: float) -> str:
    for unit, name in ((3600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:,.1f} {name}" if seconds < 10 * unit else f"{seconds / unit:,.0f} {name}"
    return "a second" if seconds < 1.5 else f"{seconds:,.0f} seconds"


def size(n: float) -> str:
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if n >= unit:
            return f"{n / unit:,.1f} {name}"
    return f"{n / 1e3:,.0f} kB"


def _check_room(out: str, n: float) -> None:
    """Raises InputError where the disk has no room for the embeddings of a plan."""
    place = home_path(out).absolute()
    there = next(part for part in (place, *place.parents) if part.exists())
    free = shutil.disk_usage(there).free
    if n > free:
        raise InputError(
            f"the embeddings of this plan take {size(n)}, and {there} has {size(free)} free; free some, give "
            "another folder with out=..., or set embedder.storage=float16"
        )


def _cost(node: Node, problems: Problems) -> Cost:
    amount, width = _amount(node, problems), _width(node)
    is_begun = node.folder.exists()  # some of it is written already
    certain = amount * width if node.stage == EMBED.name and amount and width and not is_begun else 0.0
    work = amount * _work(node.stage, node.settings) if amount is not None else None
    if work is not None and (made := _earlier(node)) is not None:
        share = work / max(1.0, _amount_of(made) * _work(node.stage, node.settings, made.config))
        return Cost(made.seconds * share, sum(file.bytes for file in made.files) * share, certain)
    a_row = width + _IDS if width else BYTES_A_ROW.get(node.stage)
    seconds = None if work is None or (rate := _measured(node)) is None else work * rate
    return Cost(seconds, None if amount is None or a_row is None else amount * a_row, certain)


def _amount(node: Node, problems: Problems) -> int | None:
    """About how many rows a node makes or reads; None where it is not known. 1 for stages that are timed as a
    whole."""
    s = node.settings
    if node.stage == SFT.name:
        return s.demonstrations.n
    if node.stage == FIT_RM.name:
        return s.comparisons.n
    if node.stage in (SAMPLE.name, ANNOTATE.name, EMBED.name):
        return n_responses(node if node.stage == SAMPLE.name else node.inputs["sample"], problems)
    return 1


def _amount_of(made: Manifest) -> int | float:
    """The amount of an earlier artifact."""
    if made.stage == SFT.name:
        return made.counts.get("demonstrations", 0)
    if made.stage == FIT_RM.name:
        return made.counts.get("train_comparisons", 0)
    return made.rows if made.stage in (SAMPLE.name, ANNOTATE.name, EMBED.name) else 1


def _work(stage: str, s: Settings, config: Mapping[str, Any] | None = None) -> int:
    """Returns what a row counts for: the longest response in tokens, or the epochs of a training.

    config: that of an earlier artifact, if it is meant and not the plan.
    """
    if stage == SAMPLE.name:
        return int(config["sampling"]["max_new_tokens"] if config else s.sampling.max_new_tokens)
    if stage == SFT.name:
        return int(config["epochs"] if config else s.sft.epochs)
    return s.sampling.max_new_tokens if stage == EMBED.name else 1


def _width(node: Node) -> float | None:
    """Bytes of the text or the vector of a row."""
    s = node.settings
    if node.stage == SAMPLE.name:
        return s.sampling.max_new_tokens * _A_TOKEN
    if node.stage != EMBED.name:
        return None
    embedder = build(s.embedder, s.allow_modules, "embedder")
    dimension = getattr(embedder, "dimension", None) or width_of(getattr(embedder, "model", None) or s.model)
    return (
        dimension * np.dtype(getattr(embedder, "storage", None) or "float32").itemsize if dimension else None
    )


def _kind(stage: str, config: Mapping[str, Any]) -> str:
    """The names of the components that decide how long a stage takes for a row."""
    parts = {SAMPLE.name: ["sampler"], EMBED.name: ["embedder"], ANNOTATE.name: ["golden"]}
    if stage == SFT.name:
        return str(config["method"])
    if stage == FIT_RM.name:
        return f"{recorded_name(config['head'])}-{recorded_name(config['loss'])}"
    return "".join(recorded_name(config[part]) for part in parts.get(stage, []))


def _earlier(node: Node) -> Manifest | None:
    """The newest finished artifact of this stage, in the folder of the plan, whose rows take as long."""
    models = sorted(source.name for source in node.sources.values() if source.kind == "model")
    kind, found = _kind(node.stage, node.config), None
    for folder in artifacts_in(home_path(node.settings.out) / node.stage):
        with suppress(RmlabError, LookupError, TypeError):
            made = finished(folder)
            same_model = sorted(r.name for r in made.inputs if r.kind == "model") == models
            same_name = node.stage != SAMPLE.name or made.name == node.name
            if same_model and same_name and _kind(made.stage, made.config) == kind:
                found = made if found is None or made.created > found.created else found
    return found


def _measured(node: Node) -> float | None:
    """Seconds for a unit of work on a CPU of this machine, where a rate was measured."""
    if node.settings.device not in ("auto", "cpu") or has_gpu():
        return None
    kind, model = _kind(node.stage, node.config), node.settings.model
    rate = RATES.get((node.stage, kind, model))
    return rate and rate * CORES / available_cores()
