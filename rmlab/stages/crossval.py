"""The stage crossval fits an arm's head again without each fold of prompt groups, and scores that fold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from rmlab.evaluation.feasible import foresee_folds
from rmlab.evaluation.fit import Fit
from rmlab.evaluation.fit_head import fit_head, read_objectives
from rmlab.evaluation.heldout import folds_of
from rmlab.evaluation.score import score_all
from rmlab.pipeline.job import Job, note_left_out
from rmlab.pipeline.node import Node
from rmlab.pipeline.problems import Problems
from rmlab.responses.table import Responses, read_responses
from rmlab.responses.vectors import StreamedVectors, map_vectors
from rmlab.storage.heldout_schema import CROSSVAL_SCORES


def run(job: Job) -> None:
    """Folds cover train and test prompts; each fold's head has validation groups of its own."""
    responses = read_responses(job.inputs["sample"], job.inputs["annotate"], ["train", "test"])
    note_left_out(job, responses.n_failed, job.settings.labelling)
    fold = folds_of(responses, job.settings.crossval)
    streamed = StreamedVectors(job.inputs["embed"], responses.ids)
    vectors = map_vectors(streamed, len(responses), job.writer.work / "vectors.npy")
    objectives = read_objectives(job, responses)
    raw = np.empty(len(responses))
    found: list[dict[str, Any]] = []
    job.progress.start(int(fold.max()) + 1, "folds")
    for k in range(int(fold.max()) + 1):
        here = fold == k
        known = {name: golden[~here] for name, golden in objectives.items()}
        fit = fit_head(job.settings, responses.take(np.flatnonzero(~here)), vectors.of(~here), known)
        scores = score_all({"head": fit.head}, vectors, here, group=responses.group)
        raw[here] = scores["head"].raw[here] / fit.head.temperature
        found.append(_facts(k, fit))
        job.progress.advance(1)
    job.writer.table(CROSSVAL_SCORES, _rows(responses, fold, raw))
    job.writer.metrics["folds"] = found
    job.writer.add({"folds": len(found), "responses": len(responses)})
    if unconverged := [f for f in found if not f["converged"]]:
        text = f"{len(unconverged)} of {len(found)} folds did not converge: {unconverged[0]['message']}"
        job.writer.warnings.append(f"{job.name}: {text}")
    if noted := [f for f in found if f["notes"]]:
        text = f"{len(noted)} of {len(found)} folds: {noted[0]['notes'][0]}"
        job.writer.warnings.append(f"{job.name}: {text}")


def foresee(node: Node, problems: Problems) -> None:
    """Checks whether there are enough prompts and responses for the folds."""
    foresee_folds(node.settings, node.inputs["sample"], problems)


def _facts(fold: int, fit: Fit) -> dict[str, Any]:
    return {
        "fold": fold,
        "comparisons": len(fit.train),
        "validation_comparisons": len(fit.validation),
        "converged": fit.log.converged,
        "message": fit.log.message,
        "notes": fit.log.notes,
        "chosen": fit.log.chosen,
    }


def _rows(responses: Responses, fold: np.ndarray, raw: np.ndarray) -> pa.Table:
    columns = {
        "prompt_id": responses.prompt_ids,
        "response_id": responses.ids,
        "fold": fold,
        "raw": raw,
    }
    return pa.table(columns, schema=CROSSVAL_SCORES.schema)
