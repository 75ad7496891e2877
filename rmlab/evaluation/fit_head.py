"""The head of an arm: fitted on annotators' answers by one golden reward or several, or on a teacher's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from rmlab.comparisons import Comparisons
from rmlab.config.settings import UNIFORM, Settings
from rmlab.data.splits import validation_groups
from rmlab.errors import ConfigError, InputError
from rmlab.evaluation.compare import Answered, answer_train, answer_validation, stream
from rmlab.evaluation.fit import (
    Fit,
    Relabel,
    SharedFits,
    calibrated,
    embeddings_of,
    finished,
    fit_among,
    held_out,
    reference_rows,
    renumbered,
)
from rmlab.heads.base import FitLog, RewardHead
from rmlab.heads.fitted.centred import CentredHead
from rmlab.heads.fitted.several import WeightedHead
from rmlab.noise.error_report import noise_report
from rmlab.noise.teacher import answered_by_scores
from rmlab.pipeline.job import Job
from rmlab.responses.prompt_means import centred
from rmlab.responses.table import Responses, golden_of
from rmlab.responses.vectors import Vectors

_CANCELLED = 1e-9  # share of the largest weight; a weighted reward whose deviation is less is rounding error


def read_objectives(job: Job, responses: Responses) -> dict[str, np.ndarray]:
    """For each objective of the settings, [m] the scores of that golden reward, NaN where it failed."""
    return {name: golden_of(annotate, responses.ids) for name, annotate in job.several("objective").items()}


def fit_objectives(
    settings: Settings, responses: Responses, vectors: Vectors, golden: Mapping[str, np.ndarray]
) -> Fit:
    """Fits the head of several objectives.

    responses: those of all train prompts, with the scores of the golden reward that the head is judged by;
    golden: the scores of each objective, [m], NaN where it failed.

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
    # A member scores what the weighted head is given: embeddings that are centred already, if they are.
    heads = {name: part.head for name, part in parts.items()}
    members = {n: head.head if isinstance(head, CentredHead) else head for n, head in heads.items()}
    weighted = WeightedHead(members=members, weights=weights)
    among_needed = np.searchsorted(needed, reference)
    head, agreement = calibrated(weighted, x, renumbered(held, needed), among_needed)
    asked_too = any(np.array_equal(golden[name], responses.golden) for name in parts)
    reports = {split: _report(parts, split) for split in ("train", "validation")}
    if not asked_too:  # the answers that the temperature is of were given beside those of the objectives
        reports["validation"]["n_annotated"] += judges["validation"].report["n_annotated"]
    log = _log({name: fit.log for name, fit in parts.items()})
    first = next(iter(parts.values()))
    diagnostics = {name: [fit.diagnostics[name] for fit in parts.values()] for name in first.diagnostics}
    if weighted.raw(x[among_needed]).std() < _CANCELLED * max(map(abs, weights.values())):
        log.notes.append("the weighted rewards cancel, so it prefers no response; give other objectives")
    return Fit(
        head=finished(settings, head),
        log=log,
        train=Comparisons.joined([fit.train for fit in parts.values()]),
        validation=held,
        annotator=judges["train"].annotator,
        label_nll=agreement["label_nll"],
        label_accuracy=agreement["label_accuracy"],
        reports=reports,
        diagnostics={name: np.concatenate(values) for name, values in diagnostics.items()},
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
    """The answers of annotators who follow the golden reward that the head is judged by, by split."""
    is_validation = held_out(settings, responses)
    return {
        "train": answer_train(settings, responses, ~is_validation),
        "validation": answer_validation(settings, responses, is_validation),
    }


def _report(parts: Mapping[str, Fit], split: str) -> dict[str, Any]:
    """The report on the answers to all objectives together."""
    of_each = [fit.reports[split] for fit in parts.values()]
    every = Comparisons.joined([fit.train if split == "train" else fit.validation for fit in parts.values()])
    n_dropped, n_annotated = (
        int(sum(report[name] for report in of_each)) for name in ("n_dropped_ties", "n_annotated")
    )
    return {"n_dropped_ties": n_dropped} | noise_report(every, n_dropped, n_annotated)


def _log(logs: Mapping[str, FitLog]) -> FitLog:
    """The rows of all fits, each with its objective; all have converged if each has."""
    whole = FitLog(converged=all(log.converged for log in logs.values()))
    for name, log in logs.items():
        whole.rows.extend({**row, "objective": name} for row in log.rows)
        whole.chosen |= {f"{name}.{key}": value for key, value in log.chosen.items()}
        whole.notes.extend(f"{name}: {note}" for note in log.notes)
    whole.message = "; ".join(f"{name}: {log.message}" for name, log in logs.items() if log.message)
    return whole


def fit_head(
    settings: Settings,
    responses: Responses,
    vectors: Vectors,
    objectives: Mapping[str, np.ndarray] | None = None,
    shared: SharedFits | None = None,
) -> Fit:
    """responses: those of all train prompts; vectors: theirs, in their order; objectives: for each name of
    settings.objectives, [m] the scores of that golden reward, NaN where it failed; shared: see fit_among,
    where neither objectives nor a teacher are.

    With a teacher, it is fitted on the annotators' answers for half of the prompts, and the head that
    settings.teacher.fit names is fitted on the other half; the teacher itself on its own.
    """
    if settings.objectives:
        return fit_objectives(settings, responses, vectors, objectives or {})
    if settings.teacher.n is None:
        return fit_among(settings, responses, vectors, np.ones(len(responses), dtype=bool), shared=shared)
    is_taught = teachers_half(settings, responses)
    if settings.teacher.fit == "ceiling":
        return fit_among(settings, responses, vectors, ~is_taught)
    with of_the_teacher():
        teacher = fit_among(teacher_alone(settings), responses, vectors, is_taught)
    if settings.teacher.fit == "teacher":
        return teacher
    answers = _answers_of(teacher.head, settings, responses, vectors)
    student = fit_among(settings, responses, vectors, ~is_taught, answers)
    accuracy = {f"{split}_accuracy": 1 - report["error_rate"] for split, report in student.reports.items()}
    known = {"comparisons": len(teacher.train), "converged": teacher.log.converged, **accuracy}
    reports = {  # annotators have answered for the teacher alone
        split: report | {"n_annotated": teacher.reports.get(split, report)["n_annotated"]}
        for split, report in student.reports.items()
    }
    return replace(student, teacher=known, reports=reports)


@contextmanager
def of_the_teacher() -> Iterator[None]:
    """Says of errors within that they are the teacher's: advice on comparisons.n is advice on teacher.n."""
    try:
        yield
    except (ConfigError, InputError) as error:
        raise type(error)(f"the teacher, of teacher.n, .head and .loss: {error}") from None


def teachers_half(settings: Settings, responses: Responses) -> np.ndarray:
    """[m] whether a train response belongs to a prompt that the teacher is fitted on: half of those for
    validation, and half of the others."""
    is_validation = held_out(settings, responses)
    found = np.zeros(len(responses), dtype=bool)
    for part, what in ((is_validation, "validation"), (~is_validation, "train")):
        groups = responses.take(np.flatnonzero(part)).distinct_groups
        if len(set(groups)) < 2:
            raise InputError(
                f"a teacher and its student need {what} prompts each, and there is one group of them; "
                "give more train prompts, raise validation.fraction, or set teacher.n=null"
            )
        found |= part & responses.of_groups(validation_groups(groups, 0.5, settings.validation.seed))
    return found


def teacher_alone(settings: Settings) -> Settings:
    """The teacher's own settings: one head, on comparisons that are drawn at random."""
    how = settings.teacher
    changed = {
        "head": how.head,
        "loss": how.loss,
        "comparisons": settings.comparisons.model_copy(update={"n": how.n, "rounds": 1, "candidates": None}),
        "selection": {"_target_": UNIFORM},
        "ensemble": settings.ensemble.model_copy(update={"members": 1}),
    }
    return settings.model_copy(update=changed)


def _answers_of(head: RewardHead, settings: Settings, responses: Responses, vectors: Vectors) -> Relabel:
    """Returns the function that puts the answers of a head in the place of the annotators'."""
    how, rng = settings.teacher, stream(settings, "teacher")
    temperature = how.temperature if how.answers == "sampled" else None

    def answered(by_annotators: Answered) -> Answered:
        comparisons = by_annotators.comparisons
        scores = np.full(len(responses), np.nan)
        rows = np.unique(comparisons.items)
        scores[rows] = _raw(head, responses, vectors, rows) / head.temperature  # differences are log-odds
        found = answered_by_scores(comparisons, responses.pool, scores, temperature, rng)
        n_dropped = by_annotators.report["n_dropped_ties"]
        report = {"n_dropped_ties": n_dropped} | noise_report(found, int(n_dropped))
        return replace(by_annotators, comparisons=found, report=report)

    return answered


def _raw(head: RewardHead, responses: Responses, vectors: Vectors, rows: np.ndarray) -> np.ndarray:
    """Scores as fitted of some rows, by embeddings as they are or less the mean of their prompt."""
    if not isinstance(head, CentredHead):
        return head.raw(vectors.rows(rows))
    return head.head.raw(centred(vectors, responses.group, rows))
