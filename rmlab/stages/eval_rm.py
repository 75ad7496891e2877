"""eval_rm: heads and controls on validation and test prompts -> every metric with its interval."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from rmlab.artifacts.artifact import Artifact
from rmlab.artifacts.schemas import CALIBRATION, CURVES, HEAD_SCORES, METRICS, PAIRED
from rmlab.data.splits import validation_prompts
from rmlab.heads.load import load_head
from rmlab.stages.base import Job
from rmlab.stages.controls import control_scores, surface
from rmlab.stages.judging import Judged, calibration_rows, curve_rows, metric_rows, paired_rows
from rmlab.stages.responses import Responses, read_embeddings, read_responses


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
    heads, embeds = job.several("fit_rm"), job.several("embed")
    sample, annotate = job.inputs["sample"], job.inputs["annotate"]
    train = read_responses(sample, annotate, ["train"])
    test = read_responses(sample, annotate, ["test"])
    v = job.settings.validation
    held_out = np.isin(train.prompt_ids, list(validation_prompts(list(train.prompt_ids), v.fraction, v.seed)))
    splits = {"validation": train.take(np.flatnonzero(held_out)), "test": test}
    fitted_on = train.take(np.flatnonzero(~held_out))
    judged = []
    job.progress.start(len(heads) * len(splits), "head scores")
    for split, responses in splits.items():
        by_embed: dict[str, np.ndarray] = {}
        looks = surface(job, responses)
        for name, artifact in heads.items():
            x = _cached(by_embed, embeds[name], responses)
            head = load_head(artifact.path / "head")
            judged.append(Judged(name, "head", split, responses, looks.length, head.score(x), head.raw(x)))
            job.progress.advance(1)
        first = next(iter(embeds.values()))
        for name, scores in control_scores(job, fitted_on, responses, first).items():
            judged.append(Judged(name, "control", split, responses, looks.length, scores))
    return judged


def _cached(known: dict[str, np.ndarray], embed: Artifact, responses: Responses) -> np.ndarray:
    key = embed.manifest.fingerprint
    if key not in known:
        known[key] = read_embeddings(embed, responses.ids)
    return known[key]


def _score_table(judged: Judged) -> pa.Table:
    n, r = len(judged.responses), judged.responses
    columns = {
        "arm": [judged.arm] * n,
        "prompt_id": r.prompt_ids.tolist(),
        "response_id": r.ids.tolist(),
        "split": [judged.split] * n,
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
    against = [p for p in paired if p["split"] == "test" and p["arm"] == chosen]
    keys = ("value", "low", "high", "n", "n_prompts")
    return {
        "chosen": chosen,
        "chosen_by": f"{by} on validation prompts",
        "best_of_n": {m["arm"]: {k: m[k] for k in keys} for m in test},
        "chosen_minus": {p["other"]: {k: p[k] for k in keys} for p in against},
    }
