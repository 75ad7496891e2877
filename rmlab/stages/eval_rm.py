"""eval_rm: heads and controls on validation and test prompts -> every metric with its interval."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from rmlab.artifacts.schemas import CALIBRATION, CURVES, HEAD_SCORES, METRICS, PAIRED
from rmlab.heads.base import RewardHead
from rmlab.heads.load import load_head
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
    _warn_of_uneven_prompts(job, judged)
    evaluation, seed = job.settings.evaluation, job.settings.seed
    tables = {
        METRICS: metric_rows(judged, evaluation, seed),
        CURVES: curve_rows(judged, evaluation, seed),
        PAIRED: paired_rows(judged, evaluation, seed),
        CALIBRATION: calibration_rows(judged),
    }
    for table, rows in tables.items():
        job.writer.table(table, pa.Table.from_pylist(rows, schema=table.schema))
    job.writer.table(HEAD_SCORES, pa.concat_tables([_score_table(j) for j in judged]))
    job.writer.metrics.update(_summary(job, tables[METRICS], tables[PAIRED]))


def _warn_of_uneven_prompts(job: Job, judged: list[Judged]) -> None:
    for j in {j.split: j for j in judged}.values():
        most = int(np.unique(j.responses.group, return_counts=True)[1].max())
        if most > j.largest_n:
            job.writer.warnings.append(
                f"{j.split} prompts have {j.largest_n} to {most} responses; best-of-N ends at {j.largest_n}"
            )


def _judge(job: Job) -> list[Judged]:
    """Every arm's scores on every split that is judged."""
    sample, annotate = job.inputs["sample"], job.inputs["annotate"]
    everyone = read_responses(sample, annotate, ["train", "test"])
    note_left_out(job, everyone, job.settings.labelling)
    parts = _parts(job, everyone)
    looks = read_surface(job.inputs["prompts"], sample, everyone)
    fitted = np.flatnonzero(parts.pop("fitted"))
    directed = directions(everyone.take(fitted), looks.take(fitted))
    scores = _scores(job, everyone, fitted, np.logical_or.reduce(list(parts.values())))
    judged = []
    for split, mask in parts.items():
        rows = np.flatnonzero(mask)
        responses, seen = everyone.take(rows), looks.take(rows)
        for name, found in scores.items():
            kind, raw = ("control", None) if name == REGRESSION else ("head", found.raw[rows])
            judged.append(Judged(name, kind, split, responses, seen.length, found.score[rows], raw))
        for name, values in control_scores(directed, responses, seen).items():
            judged.append(Judged(name, "control", split, responses, seen.length, values))
    return judged


def _parts(job: Job, everyone: Responses) -> dict[str, np.ndarray]:
    """Masks of the responses that heads are fitted on, chosen on and judged on."""
    is_test = everyone.is_test
    train = everyone.take(np.flatnonzero(~is_test))
    validation = np.zeros(len(everyone), dtype=bool)
    validation[~is_test] = held_out(job.settings, train)
    return {"validation": validation, "test": is_test, "fitted": ~is_test & ~validation}


def _scores(job: Job, everyone: Responses, fitted: np.ndarray, judged: np.ndarray) -> dict[str, Scores]:
    """One pass over each embedding artifact for all its heads, and one more of the first for the ceiling."""
    artifacts = {e.manifest.fingerprint: e for e in job.several("embed").values()}
    heads: dict[str, dict[str, RewardHead]] = {key: {} for key in artifacts}
    for name, artifact in job.several("fit_rm").items():
        heads[job.inputs[f"embed:{name}"].manifest.fingerprint][name] = load_head(artifact.path / "head")
    first = next(iter(artifacts))
    job.progress.start(len(artifacts) * int(judged.sum()) + len(fitted), "responses")
    scores: dict[str, Scores] = {}
    for key, artifact in artifacts.items():
        vectors = StreamedVectors(artifact, everyone.ids)
        if job.settings.evaluation.scoring == "quick":
            heads[key] = quick_forms(heads[key], vectors, judged)
        if key == first:
            is_fitted = np.zeros(len(everyone), dtype=bool)
            is_fitted[fitted] = True
            ceiling = regression_on_golden(vectors, everyone.golden, is_fitted, job.progress.advance)
            heads[key][REGRESSION] = ceiling
        scores |= score_all(heads[key], vectors, judged, job.progress.advance)
    if job.settings.evaluation.scoring == "quick":
        job.writer.metrics["quick"] = [n for of in heads.values() for n, h in of.items() if is_quick(h)]
    return {name: scores[name] for name in [*job.several("fit_rm"), REGRESSION]}


def _score_table(judged: Judged) -> pa.Table:
    n, r = len(judged.responses), judged.responses
    columns = {
        "arm": pa.repeat(judged.arm, n),
        "prompt_id": pa.array(r.prompt_ids, pa.string()),
        "response_id": pa.array(r.ids, pa.string()),
        "split": pa.repeat(judged.split, n),
        "score": judged.scores,
        "golden": r.golden,
    }
    return pa.table(columns, schema=HEAD_SCORES.schema)


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
