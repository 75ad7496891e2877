"""eval_rm: heads and controls on validation and test prompts -> every metric with its interval."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from rmlab.evaluation.answers import ValidationAnswers, annotators_of
from rmlab.evaluation.controls import REGRESSION, control_scores, read_surface
from rmlab.evaluation.fit import rows_of_splits
from rmlab.evaluation.judged_arms import (
    JudgedArm,
    ScoredArm,
    calibration_rows,
    conformal_rows,
    curve_rows,
    judge,
    metric_rows,
    paired_rows,
)
from rmlab.evaluation.measure import JudgedSplit
from rmlab.evaluation.score import (
    Scores,
    heads_by_embedding,
    is_quick,
    quick_forms,
    regression_on_golden,
    score_all,
)
from rmlab.heads.base import RewardHead
from rmlab.pipeline.job import Job, note_left_out
from rmlab.responses.table import Responses, read_responses
from rmlab.responses.vectors import StreamedVectors
from rmlab.storage.artifact import Artifact
from rmlab.storage.files import parquet_pieces
from rmlab.storage.schemas import CALIBRATION, CURVES, HEAD_SCORES, METRICS, PAIRED

AT_ONCE = 2**18  # rows of the table of scores that are written at a time

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
    """Every arm on validation and on test prompts, and how each head agrees with the annotators' validation
    answers; the scores themselves go into their table.

    Of each response a few numbers are held, and a score for each arm; texts and embeddings are gone through.
    """
    heads = heads_by_embedding(job)
    responses = read_responses(job.inputs["sample"], job.inputs["annotate"], ["train", "test"])
    note_left_out(job, responses.n_failed, job.settings.labelling)
    rows = rows_of_splits(job.settings, responses)
    train = rows.pop("train")
    for split, here in rows.items():
        _warn_of_prompts(job, split, np.unique(responses.group[here], return_counts=True)[1])
    job.progress.start(sum(job.inputs["sample"].part_rows), "texts")
    looks = read_surface(job.inputs["prompts"], job.inputs["sample"], responses, job.progress.advance)
    wanted = np.zeros(len(responses), dtype=bool)
    wanted[np.concatenate(list(rows.values()))] = True
    job.progress.start(len(heads) * int(wanted.sum()) + len(train), "responses")
    arms = _scored_heads(job, responses, heads, wanted, train)
    for name, values in control_scores(responses, looks, train).items():
        arms.append(ScoredArm(name, "control", values))
    _write_scores(job, responses, arms, rows)
    judged = []
    for name, here in rows.items():
        part = JudgedSplit.of(name, responses, here, looks.length, looks.style)
        judged += [judge(part, arm.take(here), job.settings.seed) for arm in arms]
    answers = ValidationAnswers.of(job, responses.ids)
    return judged, {arm.name: answers.agreement(arm) for arm in arms if arm.kind == "head"}


def _scored_heads(
    job: Job,
    responses: Responses,
    heads: Sequence[tuple[Artifact, dict[str, RewardHead]]],
    wanted: np.ndarray,
    train: np.ndarray,
) -> list[ScoredArm]:
    """The heads in the order of the arms, and the ceiling, on the first of the embeddings. wanted: [m] bool,
    the responses that are scored; train: rows of those that the ceiling is fitted on."""
    found: dict[str, Scores] = {}
    temperature: dict[str, float] = {}
    quick: list[str] = []
    for embed, of_embed in heads:
        vectors = StreamedVectors(embed, responses.ids)
        here = of_embed
        if job.settings.evaluation.scoring == "quick":
            here = quick_forms(of_embed, vectors, wanted)
            quick += [name for name, head in here.items() if is_quick(head)]
        temperature |= {name: head.temperature for name, head in here.items()}
        if not found:
            ceiling = regression_on_golden(vectors, responses.golden, train, job.progress.advance)
            here = {**here, REGRESSION: ceiling}
        found |= score_all(here, vectors, wanted, job.progress.advance, group=responses.group)
    if job.settings.evaluation.scoring == "quick":
        job.writer.metrics["quick"] = quick
    annotators = annotators_of(job)
    arms = []
    for name in job.several("fit_rm"):
        scores = found[name]
        arms.append(
            ScoredArm(name, "head", scores.score, scores.raw, temperature[name], annotators.get(name))
        )
    return [*arms, ScoredArm(REGRESSION, "control", found[REGRESSION].score)]


def _write_scores(
    job: Job, responses: Responses, arms: Sequence[ScoredArm], rows: Mapping[str, np.ndarray]
) -> None:
    """Split by split, and arm by arm."""
    with parquet_pieces(job.writer.output(f"{HEAD_SCORES.name}.parquet"), HEAD_SCORES.schema) as write:
        for split, arm in itertools.product(rows, arms):
            for start in range(0, len(rows[split]), AT_ONCE):
                here = rows[split][start : start + AT_ONCE]
                columns = {
                    "arm": pa.repeat(arm.name, len(here)),
                    "prompt_id": responses.prompt_ids.take(here),
                    "response_id": responses.ids.take(here),
                    "split": pa.repeat(split, len(here)),
                    "score": arm.scores[here],
                    "golden": responses.golden[here],
                }
                write(pa.table(columns, schema=HEAD_SCORES.schema))


def _warn_of_prompts(job: Job, split: str, sizes: np.ndarray) -> None:
    """sizes: [P] responses of each prompt of the split."""
    if len(sizes) < 2:
        job.writer.warnings.append(
            f"there is one {split} prompt, so nothing has an interval on that split; add prompts"
            + (" or raise validation.fraction" if split == "validation" else "")
        )
    if sizes.max() > sizes.min():
        job.writer.warnings.append(
            f"{split} prompts have {sizes.min()} to {sizes.max()} responses; best-of-N ends at {sizes.min()}"
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
