"""About how long the stages of a plan take, and how much they write.

An earlier artifact of the same kind in the same folder tells the rate. Where there is none, rates that were
measured on two cores are taken, for what they were measured on. Of the rest it is said that nothing is known.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rmlab.config.components import build, recorded_name
from rmlab.config.settings import Settings
from rmlab.errors import InputError, RmlabError
from rmlab.models.bundled.smollm2 import NAME as SMOLLM2
from rmlab.models.compute import available_cores, has_gpu
from rmlab.models.weights import width_of
from rmlab.paths import home_path, nearest
from rmlab.pipeline.counts import n_responses
from rmlab.pipeline.node import Node
from rmlab.pipeline.problems import Problems
from rmlab.pipeline.stages import ANNOTATE, EMBED, FIT_RM, SAMPLE, SFT
from rmlab.storage.artifact import artifacts_in, finished, upstream
from rmlab.storage.manifest import Manifest
from rmlab.terminal import rough_time, size_text

CORES = 2  # on which the rates were measured, see RESULTS.md
# Seconds of a token (sample, embed), or of a demonstration in an epoch (sft), by stage, component and model.
RATES = {
    (SFT.name, "lora", SMOLLM2): 1.0,
    (SAMPLE.name, "transformers", SMOLLM2): 1 / 231,
    (EMBED.name, "transformers", SMOLLM2): 1 / 370,
}
# Bytes by the types of the columns, before compression.
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
    """About what these nodes take together: seconds and bytes, and the stages of which either is not known.

    A plan that writes more embeddings than the disk has room for is a problem.
    """
    found = {node.fingerprint: _cost(node, problems) for node in nodes}
    known = [cost.seconds for cost in found.values() if cost.seconds is not None]
    written = [cost.bytes for cost in found.values() if cost.bytes is not None]
    if nodes:
        with problems.caught():
            _check_room(nodes[0].settings.out, sum(cost.certain for cost in found.values()))
    untimed = [node.stage for node in nodes if found[node.fingerprint].seconds is None]
    unsized = [node.stage for node in nodes if found[node.fingerprint].bytes is None]
    return {
        "seconds": sum(known),
        "bytes": sum(written),
        "unknown_time": list(dict.fromkeys(untimed)),
        "unknown_size": list(dict.fromkeys(unsized)),
    }


def wording(costs: dict[str, Any]) -> str:
    """The line that tells of the costs."""
    time = f"about {rough_time(costs['seconds'])}" if costs["seconds"] else "no time is known"
    room = f"about {size_text(costs['bytes'])}" if costs["bytes"] else "no size is known"
    if not costs["seconds"] and not costs["bytes"]:
        return "to make: no time and no size are known"
    if costs["unknown_time"] == costs["unknown_size"]:
        return f"to make: {time}, {room}{_without(costs['unknown_time'])}"
    return f"to make: {time}{_without(costs['unknown_time'])}; {room}{_without(costs['unknown_size'])}"


def _without(stages: Sequence[str]) -> str:
    """The stages that an amount leaves out, since nobody knows theirs."""
    return (
        f" ({' and '.join(filter(None, (', '.join(stages[:-1]), stages[-1])))} not counted)" if stages else ""
    )


def _check_room(out: str, n: float) -> None:
    """Raises InputError where the disk has no room for the embeddings of a plan."""
    there = nearest(home_path(out).absolute())
    free = shutil.disk_usage(there).free
    if n > free:
        raise InputError(
            f"the embeddings of this plan take {size_text(n)}, and {there} has {size_text(free)} free; free "
            "some, give another folder with out=..., or set embedder.storage=float16"
        )


def _cost(node: Node, problems: Problems) -> Cost:
    amount, width = _amount(node, problems), _width(node)
    is_begun = node.folder.exists()  # some of it is written already
    certain = amount * width if node.stage == EMBED.name and amount and width and not is_begun else 0.0
    work = amount * _work(node.stage, node.settings) if amount is not None else None
    if work is not None and (made := _earlier(node)) is not None:
        share = work / max(1.0, made.amount * made.work)
        written = made.bytes if node.stage == SFT.name else made.bytes * share  # a model is as large as it is
        return Cost(made.seconds * share, written, certain)
    a_row = width + _IDS if width else BYTES_A_ROW.get(node.stage)
    seconds = None if work is None or (rate := _measured(node)) is None else work * rate
    return Cost(seconds, None if amount is None or a_row is None else amount * a_row, certain)


def _amount(node: Node, problems: Problems) -> int | None:
    """About how many rows a node makes or reads; None where it is not known."""
    s = node.settings
    if node.stage == SFT.name:
        return s.demonstrations.n
    if node.stage == FIT_RM.name:
        return s.comparisons.n
    if node.stage in (SAMPLE.name, ANNOTATE.name, EMBED.name):
        return n_responses(node if node.stage == SAMPLE.name else node.inputs["sample"], problems)
    return None


def _work(stage: str, s: Settings) -> int:
    """Returns what a row counts for: the longest response in tokens, or the epochs of a training."""
    if stage == SFT.name:
        return s.sft.epochs
    return s.sampling.max_new_tokens if stage in (SAMPLE.name, EMBED.name) else 1


@dataclass(frozen=True)
class Earlier:
    """The time and room that an earlier artifact took.

    amount, work: as of a plan; created: when it was made.
    """

    seconds: float
    bytes: int
    amount: float
    work: float
    created: str

    @classmethod
    def of(cls, folder: Path, made: Manifest) -> Earlier:
        """Raises LookupError or RmlabError for an artifact that does not tell."""
        amount, work = float(made.rows), 1.0
        if made.stage == SFT.name:
            amount, work = made.counts["demonstrations"], made.config["epochs"]
        elif made.stage == FIT_RM.name:
            amount = made.counts["train_comparisons"]
        elif made.stage == SAMPLE.name:
            work = made.config["sampling"]["max_new_tokens"]
        elif made.stage == EMBED.name:
            [sample] = (record for record in made.inputs if record.role == "sample")
            work = finished(upstream(folder, sample)).config["sampling"]["max_new_tokens"]
        return cls(made.seconds, sum(file.bytes for file in made.files), amount, work, made.created)


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


def _earlier(node: Node) -> Earlier | None:
    """The newest finished artifact of this stage, in the folder of the plan, whose rows take as long."""
    models = sorted(source.name for source in node.sources.values() if source.kind == "model")
    kind, found = _kind(node.stage, node.config), None
    for folder in artifacts_in(home_path(node.settings.out) / node.stage):
        with suppress(RmlabError, LookupError, TypeError, ValueError):
            made = finished(folder)
            same_model = sorted(r.name for r in made.inputs if r.kind == "model") == models
            same_name = node.stage != SAMPLE.name or made.name == node.name
            if same_model and same_name and _kind(made.stage, made.config) == kind:
                told = Earlier.of(folder, made)
                found = told if found is None or told.created > found.created else found
    return found


def _measured(node: Node) -> float | None:
    """Seconds for a unit of work on a CPU of this machine, where a rate was measured."""
    if node.settings.device not in ("auto", "cpu") or has_gpu():
        return None
    kind, model = _kind(node.stage, node.config), node.settings.model
    rate = RATES.get((node.stage, kind, model))
    return rate and rate * CORES / available_cores()
