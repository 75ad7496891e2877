"""The stage fit_rm makes comparisons from golden scores, labels them with noise and fits a head on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from rmlab.comparisons import Comparisons
from rmlab.evaluation.answers import ANNOTATOR
from rmlab.evaluation.feasible import foresee_fit
from rmlab.evaluation.fit import Fit
from rmlab.evaluation.fit_head import fit_head, read_objectives
from rmlab.noise.base import Settling
from rmlab.noise.error_report import label_variance_histogram, near_coin_warning
from rmlab.pipeline.job import Job, note_left_out
from rmlab.pipeline.node import Node
from rmlab.pipeline.problems import Problems
from rmlab.responses.table import Responses, read_responses
from rmlab.responses.vectors import StreamedVectors
from rmlab.storage.schemas import COMPARISONS, DIAGNOSTICS, LABEL_VARIANCE, TRAINING_LOG


def run(job: Job) -> None:
    responses = read_responses(job.inputs["sample"], job.inputs["annotate"], ["train"])
    note_left_out(job, responses.n_failed, job.settings.labelling)
    vectors = StreamedVectors(job.inputs["embed"], responses.ids)
    fit = fit_head(job.settings, responses, vectors, read_objectives(job, responses))
    fit.head.save(job.writer.output("head"))
    job.writer.table(COMPARISONS, _comparison_rows(responses, _annotated(fit, job.settings.labelling)))
    job.writer.table(TRAINING_LOG, pa.Table.from_pylist(fit.log.rows, schema=TRAINING_LOG.schema))
    job.writer.table(LABEL_VARIANCE, pa.table(label_variance_histogram(fit.train)))
    if fit.diagnostics:
        job.writer.table(DIAGNOSTICS, _diagnostic_rows(fit))
    _record(job, fit)


def foresee(node: Node, problems: Problems) -> None:
    """Checks whether such a head can be fitted on so many comparisons."""
    foresee_fit(node.settings, node.inputs["sample"], problems)


def _annotated(fit: Fit, judging: str) -> list[tuple[str, str, Comparisons]]:
    """(split, golden reward, comparisons) of all annotated comparisons; those for training come first."""
    parts = fit.parts or {judging: fit}
    found = [("train", name, one.train) for name, one in parts.items()]
    found += [("validation", name, one.validation) for name, one in parts.items()]
    if judging not in parts:
        found.append(("validation", judging, fit.validation))
    return found


def _comparison_rows(responses: Responses, asked: Sequence[tuple[str, str, Comparisons]]) -> pa.Table:
    tables: list[pa.Table] = []
    for split, reward, c in asked:
        columns = {
            "comparison": np.arange(len(c)) + sum(t.num_rows for t in tables),
            "kind": [c.kind] * len(c),
            "items": _by_comparison(responses.ids, c.items),
            "prompt_ids": _by_comparison(responses.prompt_ids, c.items),
            "split": [split] * len(c),
            "reward": [reward] * len(c),
            "weight": c.weight,
            "label_prob": c.label_prob,
            "margin": c.margin,
            "tie": c.tie,
            "correct": c.correct,
            "share": c.share,
            "annotator": c.annotator,
        }
        tables.append(pa.table(columns, schema=COMPARISONS.schema))
    return pa.concat_tables(tables)


def _by_comparison(text: pa.Array, items: np.ndarray) -> list[list[str]]:
    """text: [m]; items: [n, K] rows -> K texts for each comparison."""
    return text.take(items.ravel()).to_numpy(zero_copy_only=False).reshape(items.shape).tolist()


def _diagnostic_rows(fit: Fit) -> pa.Table:
    """The loss's diagnostics. Train comparisons come first in COMPARISONS, so numbers match its rows."""
    tables = [
        pa.table({"comparison": np.arange(len(values)), "diagnostic": [name] * len(values), "value": values})
        for name, values in fit.diagnostics.items()
    ]
    return pa.concat_tables(tables)


def _record(job: Job, fit: Fit) -> None:
    log, labels = fit.log, fit.reports["train"]
    job.writer.metrics.update({f"{split}_labels": report for split, report in fit.reports.items()})
    job.writer.metrics.update(converged=log.converged, chosen=log.chosen)
    if fit.teacher:
        job.writer.metrics["teacher"] = fit.teacher
    if weights := job.settings.objectives:
        job.writer.metrics["objectives"] = {
            name: {"weight": weights[name], **_of_objective(part)} for name, part in fit.parts.items()
        }
    job.writer.metrics.update(temperature=fit.head.temperature)
    if isinstance(fit.annotator, Settling):
        job.writer.metrics[ANNOTATOR] = vars(fit.annotator)
    if fit.flagged:
        job.writer.metrics["flagged"] = fit.flagged
    if log.message:
        job.writer.metrics["message"] = log.message
    if job.settings.ensemble.members == 1 and job.settings.ensemble.combine != "mean":
        how = f"ensemble.combine={job.settings.ensemble.combine}"
        job.writer.warnings.append(f"{how} changes nothing with one member; set ensemble.members")
    if not log.converged:
        job.writer.warnings.append(f"{job.name} did not converge: {log.message}")
    job.writer.warnings.extend(f"{job.name}: {note}" for note in log.notes)
    for name, part in (fit.parts or {"": fit}).items():
        if warning := near_coin_warning(part.reports["train"], part.train.kind):
            where = f"{job.name}, objective {name}" if name else job.name
            job.writer.warnings.append(f"{where}: {warning}")
    job.writer.counts.update(
        train_comparisons=labels["n"],
        train_ties_dropped=int(labels["n_dropped_ties"]),
        validation_comparisons=fit.reports["validation"]["n"],
        train_annotated=int(labels["n_annotated"]),
        validation_annotated=int(fit.reports["validation"]["n_annotated"]),
        annotated=fit.n_annotated,
    )
    n_dropped = int(labels["n_dropped_ties"])
    job.progress.say(
        f"{labels['n']} comparisons, {n_dropped} ties dropped, error rate {labels['error_rate']:.1%}"
    )


def _of_objective(part: Fit) -> dict[str, Any]:
    return {
        "train_labels": part.reports["train"],
        "label_nll": part.label_nll,
        "label_accuracy": part.label_accuracy,
        "converged": part.log.converged,
    }
