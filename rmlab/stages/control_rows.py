"""Rows of a sweep for the controls: what every head of it has to beat."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from rmlab.artifacts.files import plain
from rmlab.cells import Grid
from rmlab.metrics.base import Column
from rmlab.stages.base import Job
from rmlab.stages.controls import REGRESSION, control_scores, directions, read_surface
from rmlab.stages.fitting import held_out
from rmlab.stages.judged_row import judge_one
from rmlab.stages.judging import judge
from rmlab.stages.left_out import note_left_out
from rmlab.stages.prompt_values import FIELD, packed
from rmlab.stages.responses import read_responses
from rmlab.stages.scoring import examples_of, regression_on_golden, score_all
from rmlab.stages.vectors import StreamedVectors


def control_rows(job: Job, data: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Random, oracle, length, copying and regression on golden scores; and the ids of the test prompts.

    Judged by the settings of the first cell that reads this data.
    """
    cell = next(c for c in job.sweep_grid.cells if c.data == data)
    sample = job.inputs[f"sample:{data}"]
    everyone = read_responses(sample, job.inputs[f"annotate:{data}"], ["train", "test"])
    note_left_out(job, everyone.n_failed, cell.settings.labelling)
    looks = read_surface(job.inputs[f"prompts:{data}"], sample, everyone)
    train = np.flatnonzero(~everyone.is_test)
    fitted = train[~held_out(cell.settings, everyone.take(train))]
    vectors = StreamedVectors(job.inputs[f"embed:{data}"], everyone.ids)
    is_fitted = np.zeros(len(everyone), dtype=bool)
    is_fitted[fitted] = True
    ceiling = regression_on_golden(examples_of(vectors, everyone.golden, is_fitted), _quiet)
    rows = np.flatnonzero(everyone.is_test)
    test, lengths = everyone.take(rows), looks.length[rows]
    scores: dict[str, Column] = control_scores(directions(everyone, looks, fitted), everyone, looks)
    scores[REGRESSION] = score_all({"c": ceiling}, vectors, everyone.is_test, _quiet)["c"].score
    settings = json.dumps(plain(cell.settings.model_dump()), ensure_ascii=False)
    found = []
    for name, values in scores.items():
        judged = judge(name, "control", "test", test, lengths, values[rows])
        numbers = judge_one(judged, cell.settings.evaluation, cell.settings.seed)
        row: dict[str, Any] = {"cell": f"{name}-{data}", "kind": name, "state": "ok", "settings": settings}
        row |= {f"test_{metric}": value for metric, value in numbers.items()}
        row[FIELD] = packed(judged.measured)
        found.append(plain(row | _place(job.sweep_grid, data)))
    return found, test.distinct_prompts


def _place(grid: Grid, data: str) -> dict[str, str | None]:
    """Where a sweep has several data sets, the values on the axes that tell this one from them."""
    found = {}
    for axis in grid.axes:
        here, anywhere = (
            {c.axes.get(axis) for c in cells}
            for cells in ([c for c in grid.cells if c.data == data], grid.cells)
        )
        if len(here) == 1 < len(anywhere):
            found[axis] = here.pop()
    return found


def _quiet(rows: int) -> None:
    return None
