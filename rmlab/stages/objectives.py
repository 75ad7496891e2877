"""One head of several objectives: a head for each golden reward, weighted into one reward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np

from rmlab.comparisons import Comparisons
from rmlab.errors import ConfigError, InputError
from rmlab.heads.base import CentredHead, FitLog, NormalisedHead, RewardHead, WeightedHead
from rmlab.labels.report import noise_report
from rmlab.settings import Settings
from rmlab.stages.base import Job
from rmlab.stages.comparing import Answered, answer_train, answer_validation
from rmlab.stages.fitting import (
    Fit,
    calibrated,
    embeddings_of,
    finished,
    fit_among,
    held_out,
    reference_rows,
    renumbered,
)
from rmlab.stages.responses import Responses, golden_of
from rmlab.stages.vectors import Vectors


def read_objectives(job: Job, responses: Responses) -> dict[str, np.ndarray]:
    """For each objective of the settings, [m] the scores of that golden reward, NaN where it failed."""
    ids = responses.ids
    return {name: golden_of(annotate, ids) for name, annotate in job.several("objective").items()}  # type: ignore[arg-type]


def fit_objectives(
    settings: Settings, responses: Responses, vectors: Vectors, golden: Mapping[str, np.ndarray]
) -> Fit:
    """responses: those of all train prompts, with the scores of the golden reward that judges; golden: those
    of each objective, [m], NaN where it failed.

    Each objective has comparisons of its own, which annotators of that golden reward answer, and a head. The
    weighted head gets its temperature, and its agreement with the annotators, from validation comparisons
    that the judging reward answers, as every other head of the experiment does.
    """
    weights = settings.objectives or {}
    parts = {name: _fit_one(settings, responses, vectors, name, golden[name]) for name in weights}
    judges = _judges(settings, responses)
    among = ~held_out(settings, responses)
    reference = reference_rows(np.flatnonzero(among))
    held = judges["validation"].comparisons
    needed = np.unique(np.concatenate([held.items.ravel(), reference]))
    x, _ = embeddings_of(settings, responses, vectors, needed)
    weighted = WeightedHead(
        members={name: _scoring(fit.head) for name, fit in parts.items()}, weights=weights
    )
    head, agreement = calibrated(weighted, x, renumbered(held, needed), np.searchsorted(needed, reference))
    asked_too = any(np.array_equal(golden[name], responses.golden) for name in parts)
    reports = {split: _report(parts, split) for split in ("train", "validation")}
    if not asked_too:  # the answers that the temperature is of were given beside those of the objectives
        reports["validation"]["n_annotated"] += judges["validation"].report["n_annotated"]
    return Fit(
        head=finished(settings, head),
        log=_log({name: fit.log for name, fit in parts.items()}),
        train=Comparisons.joined([fit.train for fit in parts.values()]),
        validation=held,
        annotator=judges["train"].annotator,
        label_nll=agreement["label_nll"],
        label_accuracy=agreement["label_accuracy"],
        reports=reports,
        diagnostics=_diagnostics(list(parts.values())),
        parts=parts,
    )


def _fit_one(
    settings: Settings, responses: Responses, vectors: Vectors, name: str, golden: np.ndarray
) -> Fit:
    try:
        return fit_among(settings, replace(responses, golden=golden), vectors, np.isfinite(golden))
    except (ConfigError, InputError) as error:
        raise type(error)(f"of objective {name}: {error}") from None


def _judges(settings: Settings, responses: Responses) -> dict[str, Answered]:
    """What annotators of the golden reward that judges answer, by split."""
    is_validation = held_out(settings, responses)
    return {
        "train": answer_train(settings, responses, ~is_validation),
        "validation": answer_validation(settings, responses, is_validation),
    }


def _scoring(head: RewardHead) -> NormalisedHead:
    """A member scores what the weighted head is given: embeddings that are centred already, if they are."""
    return head.head if isinstance(head, CentredHead) else cast(NormalisedHead, head)


def _report(parts: Mapping[str, Fit], split: str) -> dict[str, Any]:
    """Of the answers to all objectives together."""
    of_each = [fit.reports[split] for fit in parts.values()]
    every = Comparisons.joined([fit.train if split == "train" else fit.validation for fit in parts.values()])
    n_dropped, n_annotated = (
        int(sum(report[name] for report in of_each)) for name in ("n_dropped_ties", "n_annotated")
    )
    return {"n_dropped_ties": n_dropped} | noise_report(every, n_dropped, n_annotated)


def _diagnostics(parts: list[Fit]) -> dict[str, np.ndarray]:
    """In the order of the train comparisons."""
    return {name: np.concatenate([fit.diagnostics[name] for fit in parts]) for name in parts[0].diagnostics}


def _log(logs: Mapping[str, FitLog]) -> FitLog:
    """The rows of all fits, each with its objective; all have converged if each has."""
    whole = FitLog(converged=all(log.converged for log in logs.values()))
    for name, log in logs.items():
        whole.rows.extend({**row, "objective": name} for row in log.rows)
        whole.chosen |= {f"{name}.{key}": value for key, value in log.chosen.items()}
        whole.notes.extend(f"{name}: {note}" for note in log.notes)
    whole.message = "; ".join(f"{name}: {log.message}" for name, log in logs.items() if log.message)
    return whole
