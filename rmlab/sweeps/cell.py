"""A cell of a sweep, step by step: its head is fitted, scored beside those of other cells, and judged."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rmlab.evaluation.fit import Fit, SharedFits, rows_of_splits
from rmlab.evaluation.fit_head import fit_head
from rmlab.evaluation.judged_arms import ScoredArm, judge, judge_one
from rmlab.evaluation.score import Scores, is_quick, quick_forms, score_all
from rmlab.heads.base import RewardHead
from rmlab.heads.fitted.centred import CentredHead
from rmlab.heads.fitted.linear import LaplaceHead
from rmlab.heads.fitted.several import EnsembleHead
from rmlab.metrics.calibration import interval_coverage
from rmlab.metrics.group_mean import within_group_line
from rmlab.noise.base import Labels
from rmlab.noise.logistic import Logistic
from rmlab.pipeline.node import Cell
from rmlab.responses.prompt_means import centred
from rmlab.responses.vectors import Vectors
from rmlab.storage.files import plain
from rmlab.storage.table_schema import Row
from rmlab.sweeps.data import CellData
from rmlab.sweeps.rows import FIELD, packed

MAX_INTERVALS = 5000  # pairs, evenly spaced among those of calibration


def interval_numbers(
    head: RewardHead,
    annotator: Labels | None,
    vectors: Vectors,
    golden: np.ndarray,
    group: np.ndarray,
    pairs: tuple[np.ndarray, np.ndarray],
) -> dict[str, float]:
    """interval_coverage and interval_width of the 90 % intervals of log-odds; none unless the head has a
    spread (Laplace, ensembles) and the annotator true log-odds: beta * gap / scale, a noisy logistic one.

    vectors, golden, group: [m]; pairs: first and second rows, [n] each. A mean of a head over its
    temperature is what it takes for the log-odds, so its spread is over the temperature too.
    """
    inner = head.head if isinstance(head, CentredHead) else head
    if not isinstance(inner, EnsembleHead | LaplaceHead) or not isinstance(annotator, Logistic):
        return {}
    if annotator.beta is None or annotator.scale == "std" or annotator.error is not None:
        return {}
    chosen = np.unique(np.linspace(0, len(pairs[0]) - 1, min(MAX_INTERVALS, len(pairs[0]))).astype(int))
    first, second = (rows[chosen] for rows in pairs)
    x = [vectors.rows(r) if inner is head else centred(vectors, group, r) for r in (first, second)]
    mean, std = inner.margin(*x)
    truth = annotator.beta / annotator.scale * (golden[first] - golden[second])
    coverage, width = interval_coverage(mean / head.temperature, std / head.temperature, truth)
    return {"interval_coverage": coverage, "interval_width": width}


SPLITS = ("validation", "test")


@dataclass(frozen=True)
class FittedCell:
    """A cell whose head is fitted; columns: those of its row that the fit gives."""

    cell: Cell
    fit: Fit
    columns: Row


@dataclass(frozen=True)
class ScoredCell:
    """A fitted cell and the scores of its head, of the rows of both splits. quick: as the column is."""

    fitted: FittedCell
    rows: Mapping[str, np.ndarray]
    scores: Scores
    quick: bool


def fit_cell(cell: Cell, data: CellData, shared: SharedFits) -> FittedCell:
    """shared: what fits that compare the same responses have in common."""
    started = time.perf_counter()
    vectors = data.vectors.of(~data.responses.is_test)
    fit = fit_head(cell.settings, data.train, vectors, data.train_objectives, shared)
    return FittedCell(cell, fit, _fit_columns(fit) | {"fit_seconds": time.perf_counter() - started})


def score_cells(cells: Sequence[FittedCell], data: CellData) -> list[ScoredCell]:
    """Scores the heads of cells in one pass over the embeddings. All have the same settings of validation."""
    rows = rows_of_splits(cells[0].cell.settings, data.responses)
    wanted = np.zeros(len(data.responses), dtype=bool)
    wanted[rows["validation"]] = wanted[rows["test"]] = True
    heads: dict[str, RewardHead] = {one.cell.fingerprint: one.fit.head for one in cells}
    quick = [one.cell.fingerprint for one in cells if one.cell.settings.evaluation.scoring == "quick"]
    heads |= quick_forms({name: heads[name] for name in quick}, data.vectors, wanted)
    scores = score_all(heads, data.vectors, wanted, threads=1, group=data.responses.group)
    names = [one.cell.fingerprint for one in cells]
    return [
        ScoredCell(one, rows, scores[name], is_quick(heads[name]))
        for one, name in zip(cells, names, strict=True)
    ]


def judge_cell(scored: ScoredCell, data: CellData) -> Row:
    """The columns of the row that the head's scores give."""
    fit, settings = scored.fitted.fit, scored.fitted.cell.settings
    row: dict[str, Any] = {"quick": scored.quick}
    scores = scored.scores
    arm = ScoredArm("head", "head", scores.score, scores.raw, fit.head.temperature, fit.annotator)
    for name in SPLITS:
        split, here = data.split(name, scored.rows[name]), arm.take(scored.rows[name])
        judged = judge(split, here, settings.seed)
        found = judge_one(judged, settings.evaluation, settings.seed)
        row |= {f"{name}_{metric}": value for metric, value in found.items()}
        if name == "validation":
            # The line on validation responses that puts the head's own score into golden units.
            slope, intercept = within_group_line(here.scores, split.golden, split.group)
            row |= {"proxy_slope": slope, "proxy_intercept": intercept}
        if name == "test":
            vectors = data.vectors.of(data.responses.is_test)
            known = interval_numbers(fit.head, fit.annotator, vectors, split.golden, split.group, split.pairs)
            row |= {f"test_{metric}": number for metric, number in known.items()}
            row[FIELD] = packed(judged.measured)
    return row


def _fit_columns(fit: Fit) -> dict[str, Any]:
    labels = fit.reports["train"]
    return {
        "converged": fit.log.converged,
        "message": fit.log.said or None,
        "chosen": json.dumps(plain(fit.log.chosen)),
        "n_comparisons": len(fit.train),
        "n_ties": labels["n_ties"],
        "n_annotated": labels["n_annotated"],
        "n_validation": len(fit.validation),
        "n_annotated_validation": fit.reports["validation"]["n_annotated"],
        "n_annotated_all": fit.n_annotated,
        "error_rate": labels["error_rate"],
        "mean_margin": labels["mean_margin"],
        "label_variance": labels["label_variance_mean"],
        "temperature": fit.head.temperature,
        "validation_label_nll": fit.label_nll,
        "validation_label_accuracy": fit.label_accuracy,
        "n_flagged": fit.flagged.get("n"),
        "flagged_precision": fit.flagged.get("precision"),
        "flagged_recall": fit.flagged.get("recall"),
    }
