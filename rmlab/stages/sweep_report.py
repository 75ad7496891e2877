"""sweep_report: a page with the means of a sweep, with intervals over seeds and prompts, by each axis."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from rmlab.pipeline.job import Job
from rmlab.storage.files import write_text
from rmlab.storage.sweep_schema import EVERY_AXIS, SWEEP_MEANS
from rmlab.study.effects import Effect
from rmlab.study.report_content import about
from rmlab.study.sweep_means import Place, SweepMeans
from rmlab.study.sweep_page import AxisPart, SweepContent, render
from rmlab.study.values import CellValues

FILE = "report.html"
_FEW = 5  # fewer seeds leave Student's t few degrees of freedom


def run(job: Job) -> None:
    sweep = job.inputs["sweep"]
    values = CellValues(sweep.read("results").to_pandas(), sweep.read("cell_prompts").to_pandas())
    means = SweepMeans(job.sweep_grid, values)
    every = means.combinations()
    by_axis = {axis: means.along(axis) for axis in means.axes}
    rows = [row for place in every for row in _rows(EVERY_AXIS, place)]
    rows += [row for axis, places in by_axis.items() for place in places for row in _rows(axis, place)]
    job.writer.table(SWEEP_MEANS, pa.Table.from_pylist(rows, schema=SWEEP_MEANS.schema))
    results = values.results
    failed = results[results["state"] == "failed"]
    seeds = sorted({cell.settings.seed for cell in job.sweep_grid.cells})
    facts = {"Axes": ", ".join(job.sweep_grid.axes), "Seeds": _seeds(len(seeds))}
    content = SweepContent(
        experiment=job.name,
        parts=[AxisPart(axis, places) for axis, places in by_axis.items()],
        places=every,
        controls=means.controls(),
        largest_n=values.largest_n,
        failures={str(reason): int(n) for reason, n in failed["reason"].value_counts().items()},
        **about(sweep.manifest, values.n_prompts, values.largest_n, facts),
    )
    write_text(job.writer.output(FILE), render(content))
    job.writer.metrics["report"] = FILE
    job.writer.counts.update(combinations=len(every), axes=len(by_axis))


def _seeds(n: int) -> str:
    if n == 1:
        return "1: intervals are over prompts alone"
    return f"{n}: intervals over so few are wide" if n < _FEW else f"{n}"


def _rows(by: str, place: Place) -> Sequence[dict[str, Any]]:
    at = {"by": by, "place": json.dumps(dict(place.axes), ensure_ascii=False), "n_cells": place.cells}
    rows = [{**at, "metric": name, "value": value} for name, value in place.columns.items()]
    for metric, of in place.effects.items():
        sizes = {"n_seeds": of.n_seeds, "n_prompts": of.n_prompts}
        less = place.differences.get(metric)
        rows.append({**at, "metric": metric, **_ends(of, "value", ""), **_ends(less, "less_first"), **sizes})
    return rows


def _ends(of: Effect | None, name: str, prefix: str | None = None) -> dict[str, float]:
    if of is None:
        return {}
    begins = f"{name}_" if prefix is None else prefix
    return {name: of.value, f"{begins}low": of.low, f"{begins}high": of.high}
