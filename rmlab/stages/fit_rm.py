"""fit_rm: golden scores and embeddings -> comparisons, noisy labels, a fitted head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from rmlab.artifacts.schemas import COMPARISONS, TRAINING_LOG
from rmlab.comparisons import Comparisons
from rmlab.data.splits import validation_prompts
from rmlab.errors import InputError
from rmlab.heads.base import FitData, FitLog
from rmlab.labels.report import noise_report
from rmlab.stages.base import Job
from rmlab.stages.responses import Responses, read_embeddings, read_responses


def run(job: Job) -> None:
    settings = job.settings
    responses = read_responses(job.inputs["sample"], job.inputs["annotate"], ["train"])
    held_out = validation_prompts(
        list(responses.prompt_ids), settings.validation.fraction, settings.validation.seed
    )
    is_validation = np.isin(responses.prompt_ids, list(held_out))
    train = _compare(job, responses, ~is_validation, "train", settings.comparisons.n)
    validation = _compare(job, responses, is_validation, "validation", settings.comparisons.n_validation)
    x = read_embeddings(job.inputs["embed"], responses.ids)
    loss, fitter = job.build(settings.loss, "loss"), job.build(settings.head, "head")
    head, log = fitter.fit(FitData(x, train, validation), loss, settings.seed)
    head.normalised(x[~is_validation]).save(job.writer.path / "head")
    job.writer.table(COMPARISONS, _comparison_rows(responses, {"train": train, "validation": validation}))
    job.writer.table(TRAINING_LOG, pa.Table.from_pylist(log.rows, schema=TRAINING_LOG.schema))
    _record(job, log)


def _compare(job: Job, responses: Responses, mask: np.ndarray, split: str, n: int) -> Comparisons:
    """n labelled comparisons among the responses of a split, as rows of all responses."""
    settings, rows = job.settings, np.flatnonzero(mask)
    pool = responses.take(rows).pool
    pairing, labels = job.build(settings.pairing, "pairing"), job.build(settings.noise, "noise")
    stream = ["train", "validation"].index(split)
    rng = np.random.default_rng([settings.seed, stream])
    if split == "validation":
        n = min(n, pairing.capacity(pool))
        if n == 0:
            raise InputError("validation prompts allow no comparison; raise validation.fraction")
    drawn = pairing(pool, n, rng)
    answered = labels(drawn, pool, rng)
    if len(answered) == 0:
        raise InputError(f"all {split} comparisons are ties of the golden reward; use a reward that varies")
    job.writer.metrics[f"{split}_labels"] = noise_report(answered, len(drawn) - len(answered))
    return Comparisons(**{**_columns(answered), "items": rows[answered.items]})


def _columns(c: Comparisons) -> dict[str, Any]:
    return {name: getattr(c, name) for name in c.__dataclass_fields__}


def _comparison_rows(responses: Responses, by_split: Mapping[str, Comparisons]) -> pa.Table:
    tables: list[pa.Table] = []
    for split, c in by_split.items():
        columns = {
            "comparison": np.arange(len(c)) + sum(t.num_rows for t in tables),
            "kind": [c.kind] * len(c),
            "items": responses.ids[c.items].tolist(),
            "prompt_ids": responses.prompt_ids[c.items].tolist(),
            "split": [split] * len(c),
            "weight": c.weight,
            "label_prob": c.label_prob,
            "margin": c.margin,
            "tie": c.tie,
            "correct": c.correct,
            "annotator": c.annotator,
        }
        tables.append(pa.table(columns, schema=COMPARISONS.schema))
    return pa.concat_tables(tables)


def _record(job: Job, log: FitLog) -> None:
    job.writer.metrics["converged"] = log.converged
    job.writer.metrics["chosen"] = log.chosen
    if log.message:
        job.writer.metrics["message"] = log.message
    if not log.converged:
        job.writer.warnings.append(f"{job.name} did not converge: {log.message}")
    labels = job.writer.metrics["train_labels"]
    job.writer.counts.update(
        train_comparisons=labels["n"],
        train_ties_dropped=labels["n_ties"],
        validation_comparisons=job.writer.metrics["validation_labels"]["n"],
    )
    job.progress.say(
        f"{labels['n']} comparisons, {labels['n_ties']} ties dropped, error rate {labels['error_rate']:.1%}"
    )
