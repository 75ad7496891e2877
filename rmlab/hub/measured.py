"""The metrics of a fitted head, with their intervals, as evaluations beside it in the artifacts have them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmlab.errors import InputError
from rmlab.storage.artifact import Artifact, open_artifact
from rmlab.storage.manifest import Manifest

_TOLD = {  # of the metrics of an evaluation, those that a card shows, and their words
    "accuracy": "accuracy on pairs of responses",
    "spearman": "rank correlation with the golden reward",
    "best_of_n": "golden reward of the best of {n}",
    "selected_quantile": "quantile of the best of {n} among them",
    "length_controlled_accuracy": "accuracy on pairs balanced in length",
}


@dataclass(frozen=True)
class Metric:
    """A metric of a head on the prompts of one split. low, high: its 95 % interval, None without."""

    name: str
    meaning: str
    split: str
    value: float
    low: float | None
    high: float | None
    prompts: int

    @classmethod
    def of(cls, row: dict[str, Any]) -> Metric:
        """Reads a row of the table of metrics of an evaluation."""
        name, n = str(row["metric"]), int(row["n"])
        low, high = (float(row[key]) if math.isfinite(row[key]) else None for key in ("low", "high"))
        meaning = _TOLD[name].format(n=n)
        return cls(name, meaning, str(row["split"]), float(row["value"]), low, high, int(row["n_prompts"]))


def metrics_of(fit: Path) -> list[Metric]:
    """The metrics on test prompts of a head in artifacts/fit_rm, by the newest evaluation that read it; none
    where there is no evaluation, or none that can be read."""
    try:
        evaluation, arm = _evaluation_of(open_artifact(fit))
        rows = evaluation.read("metrics").to_pylist() if evaluation else []
    except InputError:
        return []
    own = [row for row in rows if row["arm"] == arm and row["split"] == "test" and row["metric"] in _TOLD]
    largest = max((row["n"] for row in own), default=0)
    kept = [Metric.of(row) for row in own if row["n"] in (0, largest) and math.isfinite(row["value"])]
    return sorted(kept, key=lambda metric: list(_TOLD).index(metric.name))


def _evaluation_of(fit: Artifact) -> tuple[Artifact | None, str]:
    """The newest evaluation that read this fit, and the name that it calls the fit by."""
    beside = fit.path.absolute().parents[1] / "eval_rm"
    found: list[Artifact] = []
    for place in sorted(beside.iterdir()) if beside.is_dir() else ():
        if place.name.startswith(".") or not place.is_dir():
            continue
        try:
            evaluation = open_artifact(place)
        except InputError:
            continue
        if _reads(evaluation.manifest, fit.manifest):
            found.append(evaluation)
    newest = max(found, key=lambda artifact: artifact.manifest.created, default=None)
    return newest, fit.manifest.name


def _reads(evaluation: Manifest, fit: Manifest) -> bool:
    return any(r.kind == "artifact" and r.fingerprint == fit.fingerprint for r in evaluation.inputs)
