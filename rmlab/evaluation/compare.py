"""Which responses are compared, and what the annotators answer: pairing, noise, rounds of selection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rmlab.comparisons import Comparisons, Pool
from rmlab.config.components import build
from rmlab.config.fitting import ComparisonSettings
from rmlab.config.settings import Settings
from rmlab.errors import InputError
from rmlab.noise.base import Labels, Reporting, Settling
from rmlab.noise.error_report import noise_report
from rmlab.pairing.base import check_drawable
from rmlab.responses.table import Responses

STREAMS = {"train": 0, "validation": 1, "selection": 2, "teacher": 3}
MOST = 5_000_000  # comparisons that "all there are" may come to
PER_CHOICE = 5  # candidates for each comparison that is selected, where the settings name no number


def stream(settings: Settings, name: str) -> np.random.Generator:
    return np.random.default_rng([settings.seed, STREAMS[name]])


@dataclass(frozen=True)
class Answered:
    """Labelled comparisons, as rows of all responses, what the annotators did, and who they were."""

    comparisons: Comparisons
    report: dict[str, Any]
    annotator: Labels


def is_selective(settings: Settings) -> bool:
    return settings.comparisons.rounds > 1


def answer_train(settings: Settings, responses: Responses, mask: np.ndarray) -> Answered:
    """The budget of annotated comparisons; with rounds of selection, the candidates for it, all answered.

    Answering all candidates at once gives every selector the same annotators and the same answers.
    """
    n = train_budget(settings, pool_of(responses, mask))
    return _answer(settings, responses, mask, "train", n)


def pool_of(responses: Responses, mask: np.ndarray) -> Pool:
    """The responses that can be compared. mask: [m] bool."""
    return Pool(responses.golden[mask], responses.group[mask])


def train_budget(settings: Settings, pool: Pool) -> int:
    """The number of comparisons to draw for training, of which selection may leave some out."""
    n, _ = settings.budgets
    if n is not None and not is_selective(settings):
        return n
    capacity = build(settings.pairing, settings.allow_modules, "pairing").capacity(pool)
    return _all(capacity) if n is None else _n_candidates(settings.comparisons, n, capacity)


def _all(capacity: int) -> int:
    if capacity > MOST:
        raise InputError(
            f"comparisons.n=null asks for all {capacity:,} comparisons there are; set comparisons.n"
        )
    return capacity


def _n_candidates(how: ComparisonSettings, n: int, capacity: int) -> int:
    """The candidates: as many as the settings name, or PER_CHOICE for each that is annotated, at most all."""
    name, asked = ("candidates", how.candidates) if how.candidates else ("n", n)
    if 0 < capacity < asked:  # where there are none, the pairing says why
        raise InputError(
            f"comparisons.{name}={asked} is more than the {capacity} distinct comparisons there are; "
            f"lower comparisons.{name} or sample more responses"
        )
    return how.candidates or min(PER_CHOICE * n, capacity)


def answer_validation(settings: Settings, responses: Responses, mask: np.ndarray) -> Answered:
    n = validation_budget(settings, pool_of(responses, mask))
    return _answer(settings, responses, mask, "validation", n)


def validation_budget(settings: Settings, pool: Pool) -> int:
    """The number of comparisons to draw of validation prompts, at most as many as there are."""
    capacity = build(settings.pairing, settings.allow_modules, "pairing").capacity(pool)
    _, asked = settings.budgets
    n = _all(capacity) if asked is None else min(asked, capacity)
    if n == 0:
        raise InputError("validation prompts allow no comparison; raise validation.fraction")
    if settings.comparisons.budget == "all" and asked is not None and n < asked:
        raise InputError(
            f"comparisons.budget=all gives {asked} of comparisons.n={settings.comparisons.n} to validation, "
            f"but validation prompts allow {n}; raise validation.fraction, lower comparisons.n, or set "
            "comparisons.budget=train"
        )
    return n


def check_amounts(
    settings: Settings, responses: Responses, train: np.ndarray, validation: np.ndarray
) -> None:
    """Raises InputError where more comparisons are asked for than the responses allow, whatever their golden
    rewards. train, validation: [m] bool, the responses of each split."""
    pairing = build(settings.pairing, settings.allow_modules, "pairing")
    for split, mask, budget in (
        ("train", train, train_budget),
        ("validation", validation, validation_budget),
    ):
        pool = pool_of(responses, mask)
        n = budget(settings, pool)
        try:
            check_drawable(pairing, pool, n)
        except InputError as error:
            raise _located(error, settings, split) from None


def _answer(settings: Settings, responses: Responses, mask: np.ndarray, split: str, n: int) -> Answered:
    rows, pool = np.flatnonzero(mask), pool_of(responses, mask)
    pairing = build(settings.pairing, settings.allow_modules, "pairing")
    labels = build(settings.noise, settings.allow_modules, "noise")
    rng = stream(settings, split)
    try:
        drawn = pairing(pool, n, rng)
    except InputError as error:
        raise _located(error, settings, split) from None
    if isinstance(labels, Reporting):
        answered, extra = labels.answers(drawn, pool, rng)
    else:
        answered = labels(drawn, pool, rng)
        extra = {"n_dropped_ties": len(drawn) - len(answered)}
    if len(answered) == 0:
        raise InputError(f"all {split} comparisons are ties of the golden reward; use a reward that varies")
    n_annotated = int(extra.get("n_annotated", len(drawn)))
    report = extra | noise_report(answered, int(extra["n_dropped_ties"]), n_annotated)
    annotator = labels.settled(drawn, pool) if isinstance(labels, Settling) else labels
    return Answered(replace(answered, items=rows[answered.items]), report, annotator)


def _located(error: InputError, settings: Settings, split: str) -> InputError:
    """Says which prompts are meant, where these are not simply the train prompts."""
    if split == "validation":
        return InputError(f"among the validation prompts: {error}; or raise validation.fraction")
    if settings.teacher.n is not None:
        return InputError(f"among the prompts that the teacher leaves: {error}")
    return error


def selected_report(candidates: Answered, chosen: Comparisons) -> dict[str, Any]:
    """The report of the comparisons that were selected. Only they were annotated: all candidates are answered
    here for the sake of equal answers alone."""
    report = candidates.report
    n_dropped = int(report["n_dropped_ties"])
    n_annotated = round(len(chosen) * report.get("n_answers", report["n"]) / report["n"])
    return {"n_dropped_ties": report["n_dropped_ties"]} | noise_report(chosen, n_dropped, n_annotated)


Choose = Callable[[Comparisons, Comparisons, int, np.random.Generator], np.ndarray]


def select_in_rounds(settings: Settings, candidates: Comparisons, choose: Choose) -> Comparisons:
    """candidates -> the n that are annotated, in rounds of equal size, the first of them at random.

    choose(annotated, left, n, rng) names rows of those left; it fits a head to what is annotated.
    """
    rounds, rng = settings.comparisons.rounds, stream(settings, "selection")
    n = settings.budgets[0] or len(candidates)
    if len(candidates) < n:
        raise InputError(
            f"{len(candidates)} candidates without ties are fewer than comparisons.n={n}; "
            "raise comparisons.candidates or lower comparisons.n"
        )
    sizes = np.diff(np.linspace(0, n, rounds + 1).round().astype(int))
    left = rng.permutation(len(candidates))
    taken, left = left[: sizes[0]], left[sizes[0] :]
    for size in sizes[1:]:
        chosen = choose(candidates.take(taken), candidates.take(left), int(size), rng)
        taken = np.concatenate([taken, left[chosen]])
        left = np.delete(left, chosen)
    return candidates.take(taken)
