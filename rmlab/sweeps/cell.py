"""One cell of a sweep: a head fitted and judged, as a flat row. Failures are rows too."""

from __future__ import annotations

import json
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from rmlab.errors import RmlabError
from rmlab.evaluation.fit import Fit, rows_of_splits
from rmlab.evaluation.fit_head import fit_head
from rmlab.evaluation.judged_arms import ScoredArm, judge, judge_one
from rmlab.evaluation.score import is_quick, quick_forms, score_all
from rmlab.heads.base import RewardHead
from rmlab.heads.fitted.centred import CentredHead
from rmlab.heads.fitted.linear import LaplaceHead
from rmlab.heads.fitted.several import EnsembleHead
from rmlab.logs import log
from rmlab.metrics.calibration import interval_coverage
from rmlab.metrics.group_mean import within_group_line
from rmlab.noise.base import Labels
from rmlab.noise.logistic import Logistic
from rmlab.pipeline.node import Cell
from rmlab.responses.prompt_means import centred
from rmlab.responses.vectors import Vectors
from rmlab.storage.files import plain
from rmlab.sweeps.data import CellData, read_data
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


def run_cell(cell: Cell, folder: Path) -> dict[str, Any]:
    """The row as JSON has it."""
    started = time.perf_counter()
    try:
        found = {"state": "ok", "reason": None, **fit_and_judge(cell, read_data(folder))}
    except RmlabError as error:
        found = {"state": "failed", "reason": " ".join(str(error).split())}
    except Exception as error:  # a cell's bug must not end the sweep
        log.trouble(error, cell=cell.fingerprint)
        found = {"state": "failed", "reason": _unexpected(error)}
    row = {"cell": cell.fingerprint, "kind": "head", **found, "seconds": time.perf_counter() - started}
    return plain(row)


def _unexpected(error: Exception) -> str:
    """The error and the line of code that it comes from."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    what = f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
    return f"{what} ({Path(last.filename).name}:{last.lineno})"


def fit_and_judge(cell: Cell, data: CellData) -> dict[str, Any]:
    started = time.perf_counter()
    train = data.train
    fit = fit_head(cell.settings, train, data.vectors.of(~data.responses.is_test), data.train_objectives)
    row = _fit_columns(fit) | {"fit_seconds": time.perf_counter() - started}
    rows = rows_of_splits(cell.settings, data.responses)
    wanted = np.zeros(len(data.responses), dtype=bool)
    wanted[rows["validation"]] = wanted[rows["test"]] = True
    heads = {"head": fit.head}
    if cell.settings.evaluation.scoring == "quick":
        heads = quick_forms(heads, data.vectors, wanted)
    row["quick"] = is_quick(heads["head"])
    scores = score_all(heads, data.vectors, wanted, threads=1, group=data.responses.group)["head"]
    arm = ScoredArm("head", "head", scores.score, scores.raw, fit.head.temperature, fit.annotator)
    for name in SPLITS:
        split, here = data.split(name, rows[name]), arm.take(rows[name])
        judged = judge(split, here, cell.settings.seed)
        found = judge_one(judged, cell.settings.evaluation, cell.settings.seed)
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
