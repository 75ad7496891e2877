"""The head that settings ask for: fitted on annotators' answers, by one golden reward or several, or on the
answers of a weaker head, its teacher."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from rmlab.data.splits import validation_groups
from rmlab.errors import ConfigError, InputError
from rmlab.heads.base import CentredHead, RewardHead
from rmlab.labels.report import noise_report
from rmlab.labels.teacher import answered_by_scores
from rmlab.settings import UNIFORM, Settings
from rmlab.stages.comparing import Answered, stream
from rmlab.stages.fitting import Answers, Fit, fit_among, held_out
from rmlab.stages.objectives import fit_objectives
from rmlab.stages.prompt_means import centred
from rmlab.stages.responses import Responses
from rmlab.stages.vectors import Vectors


def fit_head(
    settings: Settings,
    responses: Responses,
    vectors: Vectors,
    objectives: Mapping[str, np.ndarray] | None = None,
) -> Fit:
    """responses: those of all train prompts; vectors: theirs, in their order; objectives: for each name of
    settings.objectives, [m] the scores of that golden reward, NaN where it failed.

    With a teacher, it is fitted on the annotators' answers for half of the prompts, and the head that
    settings.teacher.fit names is fitted on the other half; the teacher itself on its own.
    """
    if settings.objectives:
        return fit_objectives(settings, responses, vectors, objectives or {})
    if settings.teacher.n is None:
        return fit_among(settings, responses, vectors, np.ones(len(responses), dtype=bool))
    is_taught = teachers_half(settings, responses)
    if settings.teacher.fit == "ceiling":
        return fit_among(settings, responses, vectors, ~is_taught)
    try:
        teacher = fit_among(_alone(settings), responses, vectors, is_taught)
    except (ConfigError, InputError) as error:  # advice on comparisons.n is advice on teacher.n here
        raise type(error)(f"the teacher, of teacher.n, .head and .loss: {error}") from None
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


def _alone(settings: Settings) -> Settings:
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


def _answers_of(head: RewardHead, settings: Settings, responses: Responses, vectors: Vectors) -> Answers:
    """What puts the answers of a head in the place of the annotators'."""
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
