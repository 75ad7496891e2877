"""eval_rm: heads and controls on validation and test prompts -> every metric with its interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from rmlab.evaluation.answers import ValidationAnswers, annotators_of
from rmlab.evaluation.arms import ScoredArm, score_rows
from rmlab.evaluation.controls import REGRESSION, ShortcutSigns, control_scores, surface_of
from rmlab.evaluation.cuts import Cut, Cuts
from rmlab.evaluation.eval_heads import Heads
from rmlab.evaluation.gathering import Gathered
from rmlab.evaluation.judge import (
    JudgedArm,
    calibration_rows,
    conformal_rows,
    curve_rows,
    metric_rows,
    paired_rows,
)
from rmlab.evaluation.survey import Survey
from rmlab.pipeline.job import Job, note_left_out
from rmlab.responses.table import Responses, check_scored
from rmlab.responses.texts import Exchanges
from rmlab.storage.files import parquet_pieces
from rmlab.storage.schemas import CALIBRATION, CURVES, HEAD_SCORES, METRICS, PAIRED

CHOSEN_BY = {
    "likelihood": "the likelihood of the annotators' answers",
    "annotator_accuracy": "agreement with the annotators' answers",
}


def run(job: Job) -> None:
    judged, agreement = _judge(job)
    evaluation, seed = job.settings.evaluation, job.settings.seed
    tables = {
        METRICS: metric_rows(judged, evaluation, seed, agreement) + conformal_rows(judged, evaluation, seed),
        CURVES: curve_rows(judged, evaluation, seed),
        PAIRED: paired_rows(judged, evaluation, seed),
        CALIBRATION: calibration_rows(judged),
    }
    for table, rows in tables.items():
        job.writer.table(table, pa.Table.from_pylist(rows, schema=table.schema))
    job.writer.metrics.update(_summary(job, tables[METRICS], tables[PAIRED]))


def _judge(job: Job) -> tuple[list[JudgedArm], dict[str, dict[str, float]]]:
    """Every arm on every split that is judged, and how each head agrees with the annotators' validation
    answers; the scores themselves go into their table.

    The responses are gone through cut by cut: to survey the prompts, to fit the ceiling, to score. Where the
    cuts are changes nothing but the order of the table of scores and, by rounding, their last digits; and the
    responses that quick forms are tried on.
    """
    heads = Heads(job)
    exchanges = Exchanges(job.inputs["prompts"], job.inputs["sample"])
    cuts = Cuts(job.inputs["sample"], job.inputs["annotate"], heads.embed)
    job.progress.start(cuts.rows, "texts")
    survey = Survey.of(cuts, exchanges, job.progress.advance)
    _check_failed(job, survey)
    is_validation = survey.is_validation(job.settings.validation)
    is_judged, is_fitted = survey.is_test | is_validation, ~survey.is_test & ~is_validation
    splits = [Gathered("validation", survey, is_validation), Gathered("test", survey, survey.is_test)]
    _warn_of_prompts(job, splits)
    n_judged, n_fitted = (int(survey.size[prompts].sum()) for prompts in (is_judged, is_fitted))
    job.progress.start(len(heads.embed) * n_judged + n_fitted, "responses")
    if job.settings.evaluation.scoring == "quick":
        job.writer.metrics["quick"] = heads.make_quick(cuts, survey, is_judged)
    heads.add_ceiling(cuts, survey, is_fitted, job.progress.advance)
    answers = ValidationAnswers.of(job)
    directions = survey.directions(is_fitted)
    scoring = _Scoring(cuts, heads, exchanges, directions, splits, answers, job.progress.advance)
    with parquet_pieces(job.writer.path / f"{HEAD_SCORES.name}.parquet", HEAD_SCORES.schema) as write:
        for cut in cuts.all:
            scoring.of_cut(cut, cuts.responses(cut), write)
    annotators = annotators_of(job)
    seed = job.settings.seed
    judged = [j for split in splits for j in split.judged(heads.temperatures, annotators, seed)]
    return judged, {arm: answers.agreement(arm, t) for arm, t in heads.temperatures.items()}


@dataclass(frozen=True, eq=False)
class _Scoring:
    """Scores cuts, and fills the splits with what is measured of their prompts."""

    cuts: Cuts
    heads: Heads
    exchanges: Exchanges
    directions: ShortcutSigns
    splits: Sequence[Gathered]
    answers: ValidationAnswers
    advance: Callable[[int], None]

    def of_cut(self, cut: Cut, responses: Responses, write: Callable[[pa.Table], None]) -> None:
        parts = [split.of_cut(cut, responses) for split in self.splits]
        answered = self.answers.rows(responses)
        compared = [rows for part in parts for rows in part.pairs]
        pairs = np.unique(np.concatenate([*compared, answered[answered >= 0]]))
        wanted = np.zeros(len(responses), dtype=bool)
        wanted[np.concatenate([part.rows for part in parts])] = True
        looks = surface_of(self.exchanges, cut.parts, responses, wanted)
        arms: list[ScoredArm] = []
        vectors = {key: self.cuts.vectors(key, cut, responses) for key in cut.embed}
        for name, of in self.heads.scores(vectors, wanted, pairs, responses.group, self.advance).items():
            arms.append(ScoredArm(name, "control" if name == REGRESSION else "head", of.score, of.raw))
        for name, values in control_scores(self.directions, responses, looks).items():
            arms.append(ScoredArm(name, "control", values))
        for table in score_rows(arms, parts, responses):
            write(table)
        for split, part in zip(self.splits, parts, strict=True):
            split.add(arms, part, responses, looks, pairs)
        self.answers.add(arms, answered, pairs)


def _check_failed(job: Job, survey: Survey) -> None:
    n_test = int(survey.is_test.sum())
    check_scored(job.inputs["annotate"], "test", n_test, survey.n_failed_test)
    n_failed_train = survey.n_failed - survey.n_failed_test
    check_scored(job.inputs["annotate"], "train", len(survey.is_test) - n_test, n_failed_train)
    note_left_out(job, survey.n_failed, job.settings.labelling)


def _warn_of_prompts(job: Job, splits: Sequence[Gathered]) -> None:
    for split in splits:
        if len(split.prompts) < 2:
            job.writer.warnings.append(
                f"there is one {split.name} prompt, so nothing has an interval on that split; add prompts"
                + (" or raise validation.fraction" if split.name == "validation" else "")
            )
        if split.most > split.fewest:
            job.writer.warnings.append(
                f"{split.name} prompts have {split.fewest} to {split.most} responses; "
                f"best-of-N ends at {split.fewest}"
            )


def _summary(job: Job, metrics: list[dict], paired: list[dict]) -> dict:
    """The choice on validation prompts, and what it gives on test prompts."""
    by = job.settings.evaluation.select_by
    metric = {"likelihood": "label_nll", "annotator_accuracy": "label_accuracy"}.get(by, by)
    sign = -1 if metric == "label_nll" else 1
    candidates = [
        m for m in metrics if m["split"] == "validation" and m["kind"] == "head" and m["metric"] == metric
    ]
    defined = [m for m in candidates if not np.isnan(m["value"])]
    if not defined:
        job.writer.warnings.append(
            f"evaluation.select_by={by} is defined for no head, so the first was chosen; annotators gave no "
            "validation answers that compare responses: set evaluation.select_by=spearman"
        )
    chosen = max(defined or candidates, key=lambda m: sign * m["value"])["arm"]
    chosen_by = f"{CHOSEN_BY.get(by, by)} on validation prompts"
    if not defined:
        chosen_by = f"the order of the arms, as {chosen_by} is not defined"
    test = [m for m in metrics if m["split"] == "test" and m["metric"] == "best_of_n"]
    against = [
        p for p in paired if p["split"] == "test" and p["arm"] == chosen and p["metric"] == "best_of_n"
    ]
    keys = ("value", "low", "high", "n", "n_prompts")
    return {
        "chosen": chosen,
        "chosen_by": chosen_by,
        "best_of_n": {m["arm"]: {k: m[k] for k in keys} for m in test},
        "chosen_minus": {p["other"]: {k: p[k] for k in keys} for p in against},
    }
