"""eval_rm: heads and controls on validation and test prompts -> every metric with its interval."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from rmlab.artifacts.schemas import CALIBRATION, CURVES, HEAD_SCORES, METRICS, PAIRED
from rmlab.heads.base import RewardHead
from rmlab.heads.load import load_head
from rmlab.stages.arms import Arm, Split, judge_arms, write_scores
from rmlab.stages.base import Job
from rmlab.stages.controls import REGRESSION, control_scores, directions, read_surface
from rmlab.stages.fitting import held_out
from rmlab.stages.judging import Judged, calibration_rows, curve_rows, metric_rows, paired_rows
from rmlab.stages.left_out import note_left_out
from rmlab.stages.responses import Responses, read_responses
from rmlab.stages.scoring import Scores, is_quick, quick_forms, regression_on_golden, score_all
from rmlab.stages.vectors import StreamedVectors


def run(job: Job) -> None:
    judged = _judge(job)
    evaluation, seed = job.settings.evaluation, job.settings.seed
    tables = {
        METRICS: metric_rows(judged, evaluation, seed),
        CURVES: curve_rows(judged, evaluation, seed),
        PAIRED: paired_rows(judged, evaluation, seed),
        CALIBRATION: calibration_rows(judged),
    }
    for table, rows in tables.items():
        job.writer.table(table, pa.Table.from_pylist(rows, schema=table.schema))
    job.writer.metrics.update(_summary(job, tables[METRICS], tables[PAIRED]))


def _judge(job: Job) -> list[Judged]:
    """Every arm on every split that is judged; the scores themselves go into their table."""
    sample, annotate = job.inputs["sample"], job.inputs["annotate"]
    everyone = read_responses(sample, annotate, ["train", "test"])
    note_left_out(job, everyone, job.settings.labelling)
    fitted, masks = _parts(job, everyone)
    looks = read_surface(job.inputs["prompts"], sample, everyone)
    directed = directions(everyone, looks, np.flatnonzero(fitted))
    splits = [Split.of(name, everyone, np.flatnonzero(mask)) for name, mask in masks.items()]
    _warn_of_uneven_prompts(job, splits)
    wanted = np.logical_or.reduce(list(masks.values()))
    pairs = np.unique(np.concatenate([rows for split in splits for rows in split.pairs]))
    found = _scores(job, everyone, fitted, wanted, pairs)
    arms: list[Arm] = []
    for name, of in found.items():
        arms.append(Arm(name, "control" if name == REGRESSION else "head", of.score, of.raw))
    for name, values in control_scores(directed, everyone, looks).items():
        arms.append(Arm(name, "control", values))
    write_scores(job.writer.path / f"{HEAD_SCORES.name}.parquet", arms, splits, everyone)
    return [judged for split in splits for judged in judge_arms(arms, split, everyone, looks.length, pairs)]


def _warn_of_uneven_prompts(job: Job, splits: list[Split]) -> None:
    for split in splits:
        fewest, most = int(split.order.sizes.min()), int(split.order.sizes.max())
        if most > fewest:
            job.writer.warnings.append(
                f"{split.name} prompts have {fewest} to {most} responses; best-of-N ends at {fewest}"
            )


def _parts(job: Job, everyone: Responses) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Masks of the responses that heads are fitted on, and of those they are chosen on and judged on."""
    is_test = everyone.is_test
    train = everyone.take(np.flatnonzero(~is_test))
    validation = np.zeros(len(everyone), dtype=bool)
    validation[~is_test] = held_out(job.settings, train)
    return ~is_test & ~validation, {"validation": validation, "test": is_test}


def _scores(
    job: Job, everyone: Responses, fitted: np.ndarray, judged: np.ndarray, pairs: np.ndarray
) -> dict[str, Scores]:
    """One pass over each embedding artifact for all its heads, and one more of the first for the ceiling.

    pairs: the rows whose scores as fitted are wanted.
    """
    artifacts = {e.manifest.fingerprint: e for e in job.several("embed").values()}
    heads: dict[str, dict[str, RewardHead]] = {key: {} for key in artifacts}
    for name, artifact in job.several("fit_rm").items():
        heads[job.inputs[f"embed:{name}"].manifest.fingerprint][name] = load_head(artifact.path / "head")
    first = next(iter(artifacts))
    job.progress.start(len(artifacts) * int(judged.sum()) + int(fitted.sum()), "responses")
    scores: dict[str, Scores] = {}
    for key, artifact in artifacts.items():
        vectors = StreamedVectors(artifact, everyone.ids)
        if job.settings.evaluation.scoring == "quick":
            heads[key] = quick_forms(heads[key], vectors, judged)
        if key == first:
            ceiling = regression_on_golden(vectors, everyone.golden, fitted, job.progress.advance)
            heads[key][REGRESSION] = ceiling
        scores |= score_all(heads[key], vectors, judged, job.progress.advance, raw_of=pairs)
    if job.settings.evaluation.scoring == "quick":
        job.writer.metrics["quick"] = [n for of in heads.values() for n, h in of.items() if is_quick(h)]
    return {name: scores[name] for name in [*job.several("fit_rm"), REGRESSION]}


def _summary(job: Job, metrics: list[dict], paired: list[dict]) -> dict:
    """The choice on validation prompts, and what it gives on test prompts."""
    by = job.settings.evaluation.select_by
    candidates = [
        m for m in metrics if m["split"] == "validation" and m["kind"] == "head" and m["metric"] == by
    ]
    defined = [m for m in candidates if not np.isnan(m["value"])]
    chosen = max(defined or candidates, key=lambda m: m["value"])["arm"]
    test = [m for m in metrics if m["split"] == "test" and m["metric"] == "best_of_n"]
    against = [
        p for p in paired if p["split"] == "test" and p["arm"] == chosen and p["metric"] == "best_of_n"
    ]
    keys = ("value", "low", "high", "n", "n_prompts")
    return {
        "chosen": chosen,
        "chosen_by": f"{by} on validation prompts",
        "best_of_n": {m["arm"]: {k: m[k] for k in keys} for m in test},
        "chosen_minus": {p["other"]: {k: p[k] for k in keys} for p in against},
    }
