"""heldout: heads and controls on pairs that they were not fitted on -> accuracy, calibration, agreement."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from rmlab.evaluation.controls import read_surface
from rmlab.evaluation.heldout import (
    BASELINE,
    LENGTH,
    HeldOut,
    HeldOutPairs,
    accuracy_rows,
    agreement_rows,
    baseline_margins,
    folds_of,
    groups_of,
    heldout_calibration_rows,
    length_margins,
    pair_table,
)
from rmlab.evaluation.score import heads_by_embedding, score_all
from rmlab.pipeline.job import Job, note_left_out
from rmlab.responses.table import Responses, positions, read_responses
from rmlab.responses.vectors import StreamedVectors
from rmlab.storage.heldout_schema import HELDOUT, HELDOUT_AGREEMENT, HELDOUT_CALIBRATION, HELDOUT_PAIRS


def run(job: Job) -> None:
    responses = read_responses(job.inputs["sample"], job.inputs["annotate"], ["train", "test"])
    note_left_out(job, responses.n_failed, job.settings.labelling)
    found = _measure(job, responses)
    how, seed = job.settings.evaluation.resamples, job.settings.seed
    accuracy = [row for held in found for row in accuracy_rows(held, how, seed)]
    tables = {
        HELDOUT: accuracy,
        HELDOUT_CALIBRATION: [row for held in found for row in heldout_calibration_rows(held)],
        HELDOUT_AGREEMENT: [row for held in found for row in agreement_rows(held)],
    }
    for table, rows in tables.items():
        job.writer.table(table, pa.Table.from_pylist(rows, schema=table.schema))
    names = groups_of(responses)
    job.writer.table(HELDOUT_PAIRS, pa.concat_tables([pair_table(h, responses, names) for h in found]))
    job.writer.metrics["heldout_accuracy"] = _summary(accuracy)
    job.writer.metrics["recommended"] = recommended(accuracy)
    job.writer.metrics["baseline"] = BASELINE
    for held in found:
        job.writer.add({f"{held.split}_pairs": len(held.pairs), f"{held.split}_ties": held.pairs.n_ties})


def _measure(job: Job, responses: Responses) -> list[HeldOut]:
    """The test prompts by heads fitted on train prompts, and all prompts by cross-validation."""
    fold = folds_of(responses, job.settings.crossval)
    test = np.where(responses.is_test, 0, -1).astype(np.int32)
    lengths = read_surface(job.inputs["prompts"], job.inputs["sample"], responses).length
    first = next(iter(job.several("embed").values()))
    vectors = StreamedVectors(first, responses.ids)
    _, group = np.unique(groups_of(responses).astype(str), return_inverse=True)
    found = []
    for split, parts, raw in (
        ("test", test, _test_scores(job, responses)),
        ("cv", fold, _fold_scores(job, responses)),
    ):
        pairs = HeldOutPairs.among(responses, parts >= 0)
        margins = {arm: pairs.margins(scores) for arm, scores in raw.items()}
        baseline = baseline_margins(responses, vectors, pairs, parts, group)
        margins[BASELINE] = baseline.margins
        job.writer.metrics.setdefault("baseline_c", {})[split] = baseline.strengths
        if baseline.unconverged:
            job.writer.warnings.append(
                f"{baseline.unconverged} fits of the baseline {BASELINE} stopped before they converged "
                f"({split}): what it is compared with may be weaker than it could be"
            )
        margins[LENGTH] = length_margins(responses, lengths, pairs, parts)
        found.append(HeldOut(split, pairs, group[pairs.first], margins, tuple(raw)))
    return found


def _test_scores(job: Job, responses: Responses) -> dict[str, np.ndarray]:
    """[m] log-odds of each head up to a constant, NaN but for test responses; embeddings are read once."""
    scores: dict[str, np.ndarray] = {}
    for artifact, heads in heads_by_embedding(job):
        vectors = StreamedVectors(artifact, responses.ids)
        found = score_all(heads, vectors, responses.is_test, group=responses.group)
        scores |= {arm: of.raw / heads[arm].temperature for arm, of in found.items()}
    return {arm: scores[arm] for arm in job.several("fit_rm")}


def _fold_scores(job: Job, responses: Responses) -> dict[str, np.ndarray]:
    """[m] of each arm's head that was fitted without the response's fold."""
    scores = {}
    for arm, artifact in job.several("crossval").items():
        table = artifact.read("crossval_scores", ["response_id", "raw"])
        rows = positions(responses.ids, table["response_id"], f"{artifact.path}: no score for")
        scores[arm] = table["raw"].to_numpy()[rows]
    return scores


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """arm -> accuracy on test prompts and its difference to the baseline; under cv both of folds."""
    keys = ("value", "low", "high", "over", "over_low", "over_high", "n_pairs")
    found: dict[str, Any] = {r["arm"]: {k: r[k] for k in keys} for r in rows if r["split"] == "test"}
    for row in rows:
        if row["split"] == "cv":
            found[row["arm"]]["cv"] = {k: row[k] for k in keys}
    return found


def recommended(rows: list[dict[str, Any]]) -> list[str]:
    """The heads that are no less accurate than the baseline in cross-validation, the most accurate first.

    By cross-validation alone, so that the test pairs judge a choice that they had no part in.
    """
    heads = [r for r in rows if r["split"] == "cv" and r["kind"] == "head" and r["over"] >= 0]
    return [r["arm"] for r in sorted(heads, key=lambda r: (-r["value"], r["arm"]))]
