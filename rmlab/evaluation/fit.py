"""One head from golden scores and embeddings: compare, label, select, fit, normalise. Writes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from rmlab.comparisons import Comparisons
from rmlab.config.components import build, component_name
from rmlab.config.settings import Settings
from rmlab.data.splits import validation_groups
from rmlab.errors import ConfigError
from rmlab.evaluation.compare import (
    Answered,
    answer_train,
    answer_validation,
    is_selective,
    select_in_rounds,
    selected_report,
)
from rmlab.heads.base import FitData, FitLog, HeadFitter, RewardHead
from rmlab.heads.ensemble import Ensemble
from rmlab.heads.fitted.base import NormalisedHead, no_features
from rmlab.heads.fitted.centred import CentredHead
from rmlab.losses.base import Centred, Diagnosing, Loss
from rmlab.metrics.calibration import fit_temperature, negative_log_likelihood
from rmlab.metrics.group_mean import credit
from rmlab.noise.base import Labels
from rmlab.responses.prompt_means import PromptMeans
from rmlab.responses.table import Responses
from rmlab.responses.vectors import Vectors
from rmlab.selection.base import Candidates, Selector

PROBES = 8
REFERENCE = 20_000  # train responses, at most, on which rewards are normalised


Relabel = Callable[[Answered], Answered]  # puts other answers in the place of the annotators'


class SharedFits:
    """Holds what fits on the same comparisons have in common, whatever the answers are.

    Fits in turn are given it; what is kept is that of the last responses that were compared.
    """

    def __init__(self) -> None:
        self._needed: np.ndarray | None = None
        self._kept: dict[Any, Any] = {}

    def of(self, needed: np.ndarray) -> dict[Any, Any]:
        """Returns what fitters have kept of these rows of the train responses, by keys of their own."""
        if self._needed is None or not np.array_equal(self._needed, needed):
            self.forget()
            self._needed = needed
        return self._kept

    def forget(self) -> None:
        """Frees the memory."""
        self._needed, self._kept = None, {}


@dataclass(frozen=True)
class Fit:
    """train, validation: comparisons of rows of all train responses; diagnostics: [n train] by name.

    annotator: of the train comparisons; label_nll, label_accuracy: of the head on the validation answers.
    reports: of the annotators by split; with rounds of selection "candidates" too, of which train is a part.
    teacher: of a head that a teacher answered for, how the teacher did; else empty.
    parts: of a head of several objectives, the fit for each golden reward; else empty.
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
    parts: dict[str, Fit] = field(default_factory=dict)

    @property
    def n_annotated(self) -> int:
        """Relabel that annotators gave for training and validation, those to ties too."""
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
    """[m] a train response belongs to a validation prompt."""
    how = settings.validation
    return responses.of_groups(validation_groups(responses.distinct_groups, how.fraction, how.seed))


def rows_of_splits(settings: Settings, responses: Responses) -> dict[str, np.ndarray]:
    """Rows of the responses to the prompts for training, validation and test. responses: those of all."""
    train = np.flatnonzero(~responses.is_test)
    is_validation = held_out(settings, responses.take(train))
    return {
        "train": train[~is_validation],
        "validation": train[is_validation],
        "test": np.flatnonzero(responses.is_test),
    }


def fit_among(
    settings: Settings,
    responses: Responses,
    vectors: Vectors,
    among: np.ndarray,
    answers: Relabel | None = None,
    shared: SharedFits | None = None,
) -> Fit:
    """responses: those of all train prompts; vectors: theirs, in their order; among: [m] bool, the responses
    that are compared; answers: what puts other answers in the place of the annotators'; shared: what earlier
    fits on the same embeddings have left for later ones."""
    is_validation = held_out(settings, responses)
    loss, fitter = loss_of(settings), fitter_of(settings)
    train = answer_train(settings, responses, among & ~is_validation)
    validation = answer_validation(settings, responses, among & is_validation)
    check_recipe(settings, train.comparisons)
    if answers is not None:
        train, validation = answers(train), answers(validation)
    reference = reference_rows(np.flatnonzero(among & ~is_validation))
    compared = [a.comparisons.items.ravel() for a in (train, validation)]
    needed = np.unique(np.concatenate([*compared, reference]))
    x, means = embeddings_of(settings, responses, vectors, needed)
    candidates, held = (renumbered(a.comparisons, needed) for a in (train, validation))
    chosen = _selected(settings, x, candidates, held, loss, fitter) if is_selective(settings) else candidates
    kept = {} if shared is None or means is not None else shared.of(needed)
    head, log = fitter.fit(FitData(x, chosen, held, kept), loss, settings.seed)
    normalised, agreement = calibrated(head, x, held, np.searchsorted(needed, reference))
    reports = {"train": train.report, "validation": validation.report}
    if is_selective(settings):
        reports["train"] = selected_report(train, chosen)
        reports["candidates"] = train.report
    if means is not None:
        log.notes.extend(means.notes)
    return Fit(
        head=finished(settings, normalised),
        log=log,
        train=replace(chosen, items=needed[chosen.items]),
        validation=validation.comparisons,
        annotator=train.annotator,
        label_nll=agreement["label_nll"],
        label_accuracy=agreement["label_accuracy"],
        reports=reports,
        diagnostics=_diagnose(loss, head, x, chosen),
    )


def embeddings_of(
    settings: Settings, responses: Responses, vectors: Vectors, needed: np.ndarray
) -> tuple[np.ndarray, PromptMeans | None]:
    """needed: [k] rows -> [k, d] embeddings as the head is given them, and the means that were subtracted."""
    x = vectors.rows(needed)
    if not is_centred(settings):
        return x, None
    means = PromptMeans.of(vectors, responses.group, needed)
    means.check_fit()
    return means.less(needed, x), means


def calibrated(
    head: NormalisedHead, x: np.ndarray, held: Comparisons, reference: np.ndarray
) -> tuple[NormalisedHead, dict[str, float]]:
    """The head with the temperature of its validation answers, normalised on some rows of x, and how well it
    foretells these answers, of which an unpaired one is none. held: of rows of x."""
    normalised = head.normalised(x[reference])
    items, share, weight = held.implied_pairs()
    rows, at = np.unique(items, return_inverse=True)
    scores, raw = (found[at.reshape(items.shape)] for found in normalised.score_and_raw(x[rows]))
    margin, lead = raw[:, 0] - raw[:, 1], scores[:, 0] - scores[:, 1]
    temperature = fit_temperature(margin, share, weight)
    return normalised.tempered(temperature), label_agreement(margin / temperature, share, weight, lead)


def finished(settings: Settings, head: NormalisedHead) -> RewardHead:
    """The head in the form that scores embeddings as they are."""
    return CentredHead(head) if is_centred(settings) else head


def is_centred(settings: Settings) -> bool:
    """True if the head is given embeddings less the mean of their prompt; see HeadFitter."""
    return settings.head.get("centre", "none") == "prompt"


def label_agreement(
    log_odds: np.ndarray, share: np.ndarray, weight: np.ndarray, lead: np.ndarray | None = None
) -> dict[str, float]:
    """Measures how well a head predicts the answers: their negative log-likelihood in nats, and the share of
    them that it agrees with, 1/2 for equal scores; NaN without any pair.

    log_odds, share, weight: [p]; lead: [p] the difference of the rewards that the head picks by, where its
    sign may not be that of log_odds: the odds of an ensemble are those of its mean, however it combines its
    members.
    """
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


def check_recipe(settings: Settings, comparisons: Comparisons) -> None:
    """Raises ConfigError where a loss, a selection or a head does not fit such comparisons, or each other."""
    loss, fitter = loss_of(settings), fitter_of(settings)
    selector = build(settings.selection, settings.allow_modules, "selection")
    if selector.needs_head and comparisons.kind != "pair":
        raise ConfigError(
            f"only pairs can be selected by a head, not comparisons of kind {comparisons.kind}; "
            "set pairing=same_prompt or pairing=cross_prompt, or selection=uniform"
        )
    few = comparisons.take(np.arange(min(PROBES, len(comparisons))))
    loss(torch.zeros(few.items.shape, dtype=torch.float64), few)
    if selector.needs_head and is_selective(settings) and not getattr(fitter, "has_features", True):
        raise no_features(component_name(settings.head, settings.allow_modules, "head"))
    if check := getattr(fitter, "check_fits", None):
        check(loss, few)


def reference_rows(rows: np.ndarray) -> np.ndarray:
    """Evenly spaced; rows are in the order of ids, which are hashes, so this is a random sample."""
    if len(rows) <= REFERENCE:
        return rows
    return rows[np.linspace(0, len(rows) - 1, REFERENCE).astype(int)]


def renumbered(comparisons: Comparisons, needed: np.ndarray) -> Comparisons:
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


def _differences(head: NormalisedHead, x: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features and scores of the first item less those of the last: [n, f], [n]."""
    first, last = x[items[:, 0]], x[items[:, -1]]
    return head.features(first) - head.features(last), head.raw(first) - head.raw(last)


def _diagnose(
    loss: Loss, head: NormalisedHead, x: np.ndarray, comparisons: Comparisons
) -> dict[str, np.ndarray]:
    if not isinstance(loss, Diagnosing):
        return {}
    rows, items = comparisons.distinct_rows()
    scores = head.raw(x[rows])[items]
    return loss.diagnose(torch.from_numpy(scores), comparisons)
