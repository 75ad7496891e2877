"""The report of a sweep: means of combinations and of the values of each axis, with intervals, as a page."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report_page_parser import Page
from small_settings import SMALL
from sweep_helpers import Inline, copied, node_of, swept

from rmlab.study.sweep_means import METRICS, SweepMeans
from rmlab.study.sweep_page import AxisPart, SweepContent, render
from rmlab.study.values import CellValues

GRID = ("head=linear,directions", "noise.error=0.1,0.3", "seed=0,1")


@pytest.fixture(scope="module")
def means(small_run, tmp_path_factory) -> SweepMeans:
    out = copied(small_run, tmp_path_factory.mktemp("swept") / "artifacts")
    with pytest.MonkeyPatch.context() as patch:
        Inline(patch)
        results = swept(out, *GRID)
    node = node_of(out, *GRID)
    return SweepMeans(node.sweep_grid, CellValues(results, node.open().read("cell_prompts").to_pandas()))


def gain(rows: pd.DataFrame) -> float:
    """The best of n from the mean of all responses, in deviations, from the table of results alone."""
    return float(((rows["test_best_of_n"] - rows["test_golden_mean"]) / rows["test_golden_deviation"]).mean())


def test_means_are_those_of_the_results_and_intervals_are_around_them(means):
    rows = means.values.results
    places = means.combinations()
    assert len(places) == 4 and means.axes == ["head", "noise.error"]
    order = [place.columns["validation_best_of_n"] for place in places]
    assert order == sorted(order, reverse=True)
    for place in places:
        here = rows[
            (rows["head"] == place.axes["head"]) & (rows["noise.error"] == float(place.axes["noise.error"]))
        ]
        assert place.cells == len(here) == 2
        best, spearman, accuracy = (place.effects[metric] for metric in METRICS)
        assert best.value == pytest.approx(gain(here), abs=1e-5)
        assert spearman.value == pytest.approx(here["test_spearman"].mean(), abs=1e-5)
        assert accuracy.value == pytest.approx(here["test_accuracy"].mean(), abs=0.05)
        for effect in (best, spearman):
            assert effect.low < effect.value < effect.high and effect.n_seeds == 2 and effect.n_prompts == 6
    for axis in means.axes:
        along = means.along(axis)
        for place in along:
            here = rows[(rows["kind"] == "head") & (rows[axis].astype(str) == place.axes[axis])]
            assert place.cells == 4 and place.effects["best_of_largest"].value == pytest.approx(
                gain(here), abs=1e-5
            )
        first, second = (place.effects["best_of_largest"].value for place in along)
        assert along[0].differences == {} and not along[1].reason
        assert along[1].differences["best_of_largest"].value == pytest.approx(second - first, abs=1e-6)
    assert [place.axes["noise.error"] for place in means.along("noise.error")] == ["0.1", "0.3"]
    controls = means.controls()
    assert controls["oracle"] > controls["golden_regression"] and set(controls) >= {
        "random",
        "length",
        "copying",
    }


def test_values_are_compared_on_the_combinations_that_all_of_them_have(means):
    rows = means.values.results.copy()
    lost = (rows["head"] == "linear") & (rows["noise.error"] == 0.1) & (rows["seed"] == 0)
    assert lost.sum() == 1
    rows.loc[lost, "state"] = "failed"
    fewer = SweepMeans(means.grid, replace(means.values, results=rows))
    assert [place.cells for place in fewer.along("head")] == [3, 3]
    assert sorted(place.cells for place in fewer.combinations()) == [1, 2, 2, 2]
    rows.loc[(rows["head"] == "linear"), "state"] = "failed"
    none = SweepMeans(means.grid, replace(means.values, results=rows)).along("head")
    assert {place.reason for place in none} == {
        "no combination of the other settings has a result at every value"
    } and all(place.effects == {} for place in none)


def test_the_page_has_a_figure_and_a_table_for_each_axis_and_shows_text_as_text(means):
    hostile = "<script>alert(1)</script>"
    parts = [AxisPart(axis, means.along(axis)) for axis in means.axes]
    said = {"facts": {"Cells": hostile}, "warnings": [hostile]}
    content = SweepContent("smoke", parts, means.combinations(), means.controls(), 6, {hostile: 3}, **said)
    page = render(content)
    assert page == render(content) and hostile not in page and "&lt;script&gt;" in page
    assert page.count("<figure") == 2 and page.count("<table") == 3
    assert "A colour for each value of noise.error." in page and "A colour for each value of head." in page
    for part in parts:
        for place in part.places:
            value = place.effects["best_of_largest"].value
            assert f"{value:.3f}".replace("-", "−") in page
    assert Page(page).tags["script"] == 0


def test_a_sweep_without_a_result_has_a_page_that_says_why(means):
    rows = means.values.results.assign(state="failed")
    none = SweepMeans(means.grid, replace(means.values, results=rows))
    parts = [AxisPart(axis, none.along(axis)) for axis in none.axes]
    assert none.combinations() == []
    page = render(SweepContent("smoke", parts, [], none.controls(), 6, {"it is odd": 8}))
    assert page.count("Without intervals: no combination") == 2 and "<li>8: it is odd</li>" in page


def test_the_command_prints_intervals_by_any_axis_and_names_the_report(cli, out, inline):
    words = ("sweep", *SMALL, f"out={out}", *GRID)
    wrong = cli(*words, "--by", "nose")
    there = "; there is: head, noise.error"
    assert wrong.code == 2 and f"--by nose: no axis of this sweep with several values{there}" in wrong.line
    assert f"--by seed: means are over all seeds{there}" in cli(*words, "--by", "seed").line
    assert not (out / "sweep").exists()
    made = cli(*words, "--json")
    report = Path(made.json["report"])
    assert made.code == 0 and report.read_text().startswith("<!DOCTYPE html>")
    shown = cli(*words)
    assert shown.code == 0 and f"report: {report}" in shown.out.splitlines() and len(inline.axes) == 8
    head = next(line for line in shown.out.splitlines() if line.startswith("head"))
    assert head.split()[:3] == ["head", "noise.error", "cells"] and head.count("95% interval") == 2
    by = cli(*words, "--by", "noise.error").out.splitlines()
    at = next(n for n, line in enumerate(by) if line.startswith("noise.error"))
    assert "less the first" in by[at] and [line.split()[:2] for line in by[at + 1 : at + 3]] == [
        ["0.1", "4"],
        ["0.3", "4"],
    ]
    table = pd.read_parquet(report.parent / "sweep_means.parquet")
    rows = table[(table["by"] == "noise.error") & (table["metric"] == "best_of_largest")]
    assert [json.loads(place) for place in rows["place"]] == [{"noise.error": "0.1"}, {"noise.error": "0.3"}]
    assert (
        np.isnan(rows["less_first"].iloc[0])
        and rows["less_first_low"].iloc[1] < rows["less_first_high"].iloc[1]
    )


def test_a_dry_run_of_a_finished_sweep_writes_no_report(cli, out, inline):
    swept(out, "seed=0,1")
    shown = cli("sweep", *SMALL, f"out={out}", "seed=0,1", "--dry-run")
    assert shown.code == 0 and "results: " in shown.out and "report: " not in shown.out
    assert not (out / "sweep_report").exists()
