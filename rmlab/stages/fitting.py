"""One head from golden scores and embeddings: compare, label, select, fit, normalise. Writes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import torch

from rmlab.comparisons import Comparisons
from rmlab.config import build
from rmlab.data.splits import validation_groups
from rmlab.errors import ConfigError, InputError
from rmlab.heads.base import CentredHead, FitData, FitLog, HeadFitter, NormalisedHead, RewardHead
from rmlab.heads.ensemble import Ensemble
from rmlab.labels.base import Labels
from rmlab.labels.report import noise_report
from rmlab.labels.teacher import answered_by_scores
from rmlab.losses.base import Diagnosing, Loss
from rmlab.losses.centring import Centred
from rmlab.metrics.calibration import fit_temperature, negative_log_likelihood
from rmlab.metrics.group_mean import credit
from rmlab.selection.base import Candidates, Selector
from rmlab.settings import UNIFORM, Settings
from rmlab.stages.comparing import (
    Answered,
    answer_train,
    answer_validation,
    is_selective,
    select_in_rounds,
    selected_report,
    stream,
)
from rmlab.stages.prompt_means import PromptMeans, centred
from rmlab.stages.responses import Responses
from rmlab.stages.vectors import Vectors

PROBES = 8
REFERENCE = 20_000  # train responses, at most, on which rewards are normalised


@dataclass(frozen=True)
class Fit:
    """train, validation: comparisons of rows of all train responses; diagnostics: [n train] by name.

    annotator: of the train comparisons; label_nll, label_accuracy: of the head on the validation answers.
    reports: of the annotators by split; with rounds of selection "candidates" too, of which train is a part.
    teacher: of a head that a teacher answered for, how the teacher did; else empty.
    """

    head: RewardHead
    log: FitLog
    train: Comparisons
    validation: Comparisons
    annotator: Labels
    label_nll: float
    label_accuracy: float
    reports: dict[str, dict[str, Any]]
    diagnostics: dict[str, np.ndarray] = field(default_factory=dict)
    teacher: dict[str, Any] = field(default_factory=dict)

    @property
    def n_annotated(self) -> int:
        """Answers that annotators gave for training and validation, those to ties too."""
        return sum(int(self.reports[split]["n_annotated"]) for split in ("train", "validation"))

    @property
    def flagged(self) -> dict[str, float]:
        """The comparisons that the loss took for outliers, against those that are wrong by the golden order;
        nothing for a loss that flags none."""
        if "outlier" not in self.diagnostics:
            return {}
        flagged, wrong = self.diagnostics["outlier"] > 0, ~self.train.correct & ~self.train.tie
        both = int((flagged & wrong).sum())
        return {
            "n": int(flagged.sum()),
            "precision": both / flagged.sum() if flagged.any() else float("nan"),
            "recall": both / wrong.sum() if wrong.any() else float("nan"),
        }


def held_out(settings: Settings, responses: Responses) -> np.ndarray:
    """[m] whether a train response belongs to a validation prompt."""
    how = settings.validation
    return responses.of_groups(validation_groups(responses.distinct_groups, how.fraction, how.seed))


def fit_head(settings: Settings, responses: Responses, vectors: Vectors) -> Fit:
    """responses: those of all train prompts; vectors: theirs, in their order.

    With a teacher, it is fitted on the annotators' answers for half of the prompts, and the head that
    settings.teacher.fit names is fitted on the other half; the teacher itself on its own.
    """
    if settings.teacher.n is None:
        return _fit(settings, responses, vectors, np.ones(len(responses), dtype=bool))
    is_taught = teachers_half(settings, responses)
    if settings.teacher.fit == "ceiling":
        return _fit(settings, responses, vectors, ~is_taught)
    try:
        teacher = _fit(_alone(settings), responses, vectors, is_taught)
    except (ConfigError, InputError) as error:  # advice on comparisons.n is advice on teacher.n here
        raise type(error)(f"the teacher, of teacher.n, .head and .loss: {error}") from None
    if settings.teacher.fit == "teacher":
        return teacher
    answers = _answers_of(teacher.head, settings, responses, vectors)
    student = _fit(settings, responses, vectors, ~is_taught, answers)
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


Answers = Callable[[Answered], Answered]


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


def _fit(
    settings: Settings,
    responses: Responses,
    vectors: Vectors,
    among: np.ndarray,
    answers: Answers | None = None,
) -> Fit:
    """among: [m] bool, the responses that are compared; answers: those in place of the annotators'."""
    is_validation = held_out(settings, responses)
    loss, fitter = loss_of(settings), fitter_of(settings)
    train = answer_train(settings, responses, among & ~is_validation)
    validation = answer_validation(settings, responses, among & is_validation)
    _check_kind(settings, loss, train.comparisons)
    if answers is not None:
        train, validation = answers(train), answers(validation)
    reference = _reference(np.flatnonzero(among & ~is_validation))
    compared = [a.comparisons.items.ravel() for a in (train, validation)]
    needed = np.unique(np.concatenate([*compared, reference]))
    x, means = vectors.rows(needed), None
    if is_centred(settings):
        means = PromptMeans.of(vectors, responses.group, needed)
        means.check_fit()
        x = means.less(needed, x)
    candidates, held = (_renumbered(a.comparisons, needed) for a in (train, validation))
    chosen = _selected(settings, x, candidates, held, loss, fitter) if is_selective(settings) else candidates
    head, log = fitter.fit(FitData(x, chosen, held), loss, settings.seed)
    margin, share, weight = _answered_margins(head, x, held)
    temperature = fit_temperature(margin, share, weight)
    agreement = label_agreement(margin / temperature, share, weight)
    reports = {"train": train.report, "validation": validation.report}
    if is_selective(settings):
        reports["train"] = selected_report(train, chosen)
        reports["candidates"] = train.report
    finished: RewardHead = head.tempered(temperature).normalised(x[np.searchsorted(needed, reference)])
    if means is not None:
        finished = CentredHead(cast(NormalisedHead, finished))
        log.notes.extend(means.notes)
    return Fit(
        head=finished,
        log=log,
        train=replace(chosen, items=needed[chosen.items]),
        validation=validation.comparisons,
        annotator=train.annotator,
        label_nll=agreement["label_nll"],
        label_accuracy=agreement["label_accuracy"],
        reports=reports,
        diagnostics=_diagnose(loss, head, x, chosen),
    )


def is_centred(settings: Settings) -> bool:
    """Whether the head is given embeddings less the mean of their prompt; see HeadFitter."""
    return settings.head.get("centre", "none") == "prompt"


def _raw(head: RewardHead, responses: Responses, vectors: Vectors, rows: np.ndarray) -> np.ndarray:
    """Scores as fitted of some rows, by embeddings as they are or less the mean of their prompt."""
    if not isinstance(head, CentredHead):
        return head.raw(vectors.rows(rows))
    return head.head.raw(centred(vectors, responses.group, rows))


def _answered_margins(
    head: RewardHead, x: np.ndarray, comparisons: Comparisons
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the pairs that the answers imply: raw score of the preferred response less that of the other, share
    of annotators, weight; [p] each, none of unpaired answers."""
    items, share, weight = comparisons.implied_pairs()
    rows, at = np.unique(items, return_inverse=True)
    raw = head.raw(x[rows])[at.reshape(items.shape)]
    return raw[:, 0] - raw[:, 1], share, weight


def label_agreement(
    log_odds: np.ndarray, share: np.ndarray, weight: np.ndarray, lead: np.ndarray | None = None
) -> dict[str, float]:
    """How well a head foretells the answers: negative log-likelihood in nats, and share of the answers that
    it agrees with, 1/2 for equal scores; NaN without any pair. log_odds, share, weight: [p]; lead: [p] the
    difference of the rewards that the head picks by, where its sign may not be that of log_odds: the odds of
    an ensemble are those of its mean, however it combines its members."""
    if not len(log_odds):
        return {"label_nll": np.nan, "label_accuracy": np.nan}
    agrees = credit(log_odds if lead is None else lead)
    return {
        "label_nll": negative_log_likelihood(log_odds, share, weight),
        "label_accuracy": float(np.average(share * agrees + (1 - share) * (1 - agrees), weights=weight)),
    }


def loss_of(settings: Settings) -> Loss:
    loss = build(settings.loss, settings.allow_modules, "loss")
    return Centred(loss, settings.centring) if settings.centring > 0 else loss


def fitter_of(settings: Settings) -> HeadFitter:
    fitter, how = build(settings.head, settings.allow_modules, "head"), settings.ensemble
    if how.members == 1:
        return fitter
    return Ensemble(fitter, how.members, how.combine, how.k, how.resample)


def _check_kind(settings: Settings, loss: Loss, comparisons: Comparisons) -> None:
    """Refuses a loss or a selection that is none of such comparisons, before any embedding is read."""
    selector = build(settings.selection, settings.allow_modules, "selection")
    if selector.needs_head and comparisons.kind != "pair":
        raise ConfigError(
            f"only pairs can be selected by a head, not comparisons of kind {comparisons.kind}; "
            "set pairing=same_prompt or pairing=cross_prompt, or selection=uniform"
        )
    few = comparisons.take(np.arange(min(PROBES, len(comparisons))))
    loss(torch.zeros(few.items.shape, dtype=torch.float64), few)


def _reference(rows: np.ndarray) -> np.ndarray:
    """Evenly spaced; rows are in the order of ids, which are hashes, so this is a random sample."""
    if len(rows) <= REFERENCE:
        return rows
    return rows[np.linspace(0, len(rows) - 1, REFERENCE).astype(int)]


def _renumbered(comparisons: Comparisons, needed: np.ndarray) -> Comparisons:
    return replace(comparisons, items=np.searchsorted(needed, comparisons.items))


def _selected(
    settings: Settings,
    x: np.ndarray,
    candidates: Comparisons,
    held: Comparisons,
    loss: Loss,
    fitter: HeadFitter,
) -> Comparisons:
    selector: Selector = build(settings.selection, settings.allow_modules, "selection")

    def choose(done: Comparisons, left: Comparisons, n: int, rng: np.random.Generator) -> np.ndarray:
        if not selector.needs_head:
            empty = np.empty((0, 0))
            return selector(Candidates(empty, np.zeros(len(left)), empty, np.zeros(0)), n, rng)
        head, _ = fitter.fit(FitData(x, done, held), loss, settings.seed)
        z, margin = _differences(head, x, left.items)
        past_z, past_margin = _differences(head, x, done.items)
        return selector(Candidates(z, margin, past_z, past_margin), n, rng)

    return select_in_rounds(settings, candidates, choose)


def _differences(head: RewardHead, x: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features and scores of the first item less those of the last: [n, f], [n]."""
    first, last = x[items[:, 0]], x[items[:, -1]]
    return head.features(first) - head.features(last), head.raw(first) - head.raw(last)


def _diagnose(loss: Loss, head: RewardHead, x: np.ndarray, comparisons: Comparisons) -> dict[str, np.ndarray]:
    if not isinstance(loss, Diagnosing):
        return {}
    rows, items = np.unique(comparisons.items, return_inverse=True)
    scores = head.raw(x[rows])[items.reshape(comparisons.items.shape)]
    return loss.diagnose(torch.from_numpy(scores), comparisons)
