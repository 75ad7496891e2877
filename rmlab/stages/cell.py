"""One cell of a sweep: a head fitted and judged, as a flat row. Failures are rows too."""

from __future__ import annotations

import json
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from rmlab.artifacts.files import plain
from rmlab.cells import Cell
from rmlab.errors import RmlabError
from rmlab.logs import log
from rmlab.metrics.group_mean import within_group_line
from rmlab.stages.cell_data import CellData, read_data
from rmlab.stages.fitting import Fit, held_out
from rmlab.stages.judged_row import judge_one
from rmlab.stages.judging import judge
from rmlab.stages.margin_intervals import interval_numbers
from rmlab.stages.measuring import judged_pairs
from rmlab.stages.prompt_values import FIELD, packed
from rmlab.stages.responses import Responses
from rmlab.stages.scoring import is_quick, quick_forms, score_all
from rmlab.stages.teaching import fit_head

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


def _quiet(rows: int) -> None:
    """Nothing is shown of the scoring of a cell."""


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
    masks = {"validation": np.zeros(len(data.responses), dtype=bool), "test": data.responses.is_test}
    masks["validation"][~data.responses.is_test] = held_out(cell.settings, train)
    wanted = masks["validation"] | masks["test"]
    heads = {"head": fit.head}
    if cell.settings.evaluation.scoring == "quick":
        heads = quick_forms(heads, data.vectors, wanted)
    row["quick"] = is_quick(heads["head"])
    scores = score_all(heads, data.vectors, wanted, _quiet, threads=1, group=data.responses.group)["head"]
    for split in SPLITS:
        responses, lengths = data.part(split, masks[split])
        rows = np.flatnonzero(masks[split])
        judged = judge(
            "head",
            "head",
            split,
            responses,
            lengths,
            scores.score[rows],
            scores.raw[rows],
            fit.head.temperature,
            fit.annotator,
            cell.settings.seed,
        )
        found = judge_one(judged, cell.settings.evaluation, cell.settings.seed)
        row |= {f"{split}_{name}": value for name, value in found.items()}
        if split == "validation":
            row |= _proxy_columns(responses, scores.score[rows])
        if split == "test":
            pairs, vectors = judged_pairs(responses, lengths), data.vectors.of(masks[split])
            golden, group = responses.golden, responses.group
            known = interval_numbers(fit.head, fit.annotator, vectors, golden, group, pairs)
            row |= {f"test_{name}": number for name, number in known.items()}
            row[FIELD] = packed(judged.measured)
    return row


def _proxy_columns(responses: Responses, score: np.ndarray) -> dict[str, float]:
    """The head's own score in golden units: golden ~ intercept + slope * score on validation responses."""
    slope, intercept = within_group_line(score, responses.golden, responses.group)
    return {"proxy_slope": slope, "proxy_intercept": intercept}


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
