"""Cells that are scored together: equal to each alone, whatever becomes of the others."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sweep_helpers import TIMES, heads, node_of, swept

from rmlab.errors import InputError
from rmlab.sweeps import together
from rmlab.sweeps.cell import judge_cell, score_cells
from rmlab.sweeps.data import read_data, write_data
from rmlab.sweeps.rows import RowLog
from rmlab.sweeps.together import bytes_of, groups_of, run_cell, run_cells

GRID = ("head=linear,trees,mlp", "loss=classification", "noise.error=0.1,0.3")


@pytest.fixture
def world(out, tmp_path):
    """Six cells of three heads and the folder of their data."""
    node = node_of(out, *GRID)
    inputs = {role: upstream.open() for role, upstream in node.inputs.items()}
    return node.sweep_grid.cells, write_data(inputs, node.sweep_grid.data[0], tmp_path)


def by_cell(rows) -> dict:
    return {row["cell"]: {k: v for k, v in row.items() if k not in TIMES} for row in rows}


def failing_for(cell, original):
    """score_cells or judge_cell, but for one cell."""

    def fail(given, data):
        scored = given if isinstance(given, list) else [given.fitted]
        if cell.fingerprint in {one.cell.fingerprint for one in scored}:
            raise InputError("this head is ill")
        return original(given, data)

    return fail


def test_rows_are_those_of_each_cell_alone(world, monkeypatch):
    monkeypatch.setattr("rmlab.evaluation.score.WORTH_TRYING", 1)
    cells, folder = world
    calls = []
    monkeypatch.setattr(together, "score_cells", lambda c, d: calls.append(len(c)) or score_cells(c, d))
    found = by_cell(run_cells(cells, folder))
    assert calls == [len(cells)] and {row["state"] for row in found.values()} == {"ok"}
    assert list(found.values()) == [by_cell([run_cell(cell, folder)])[cell.fingerprint] for cell in cells]


def test_a_head_that_is_given_centred_embeddings_is_scored_beside_others(out, tmp_path):
    node = node_of(out, "head.centre=none,prompt", "evaluation.scoring=exact,quick")
    inputs = {role: upstream.open() for role, upstream in node.inputs.items()}
    folder, cells = write_data(inputs, node.sweep_grid.data[0], tmp_path), node.sweep_grid.cells
    found = by_cell(run_cells(cells, folder))
    assert list(found.values()) == [by_cell([run_cell(cell, folder)])[cell.fingerprint] for cell in cells]


@pytest.mark.parametrize("step", ["fit_cell", "score_cells", "judge_cell"])
def test_a_cell_that_fails_takes_no_other_with_it(world, monkeypatch, step):
    cells, folder = world
    whole = by_cell(run_cells(cells, folder))
    ill = cells[2]
    if step == "fit_cell":
        fit = together.fit_cell

        def fail(cell, data, shared):
            if cell is ill:
                raise InputError("this head is ill")
            return fit(cell, data, shared)

    else:
        fail = failing_for(ill, {"score_cells": score_cells, "judge_cell": judge_cell}[step])
    monkeypatch.setattr(together, step, fail)
    found = by_cell(run_cells(cells, folder))
    assert set(found) == set(whole)
    broken = {"cell": ill.fingerprint, "kind": "head", "state": "failed", "reason": "this head is ill"}
    assert found.pop(ill.fingerprint) == broken
    assert found == {cell: row for cell, row in whole.items() if cell != ill.fingerprint}


def test_what_waits_to_be_scored_is_bounded(world, monkeypatch):
    cells, folder = world
    whole = by_cell(run_cells(cells, folder))
    sizes, waiting = [], []
    m = len(read_data(folder).responses)

    def score(fitted, data):
        sizes.append(len(fitted))
        waiting.append([bytes_of(one.fit) + 16 * m for one in fitted])
        return score_cells(fitted, data)

    monkeypatch.setattr(together, "score_cells", score)
    monkeypatch.setattr(together, "HELD_BYTES", 1)
    assert by_cell(run_cells(cells, folder)) == whole and sizes == [1] * len(cells)
    limit = max(held for [held] in waiting) + 1
    sizes.clear(), waiting.clear()
    monkeypatch.setattr(together, "HELD_BYTES", limit)
    assert by_cell(run_cells(cells, folder)) == whole
    assert max(sizes) > 1 and len(sizes) > 1
    assert all(sum(held[:-1]) < limit for held in waiting)


def test_a_kill_between_fitting_and_scoring_loses_no_row(out, inline, monkeypatch):
    grid = (f"noise.error={','.join(str(k / 100) for k in range(1, 13))}",)
    calls = []

    def killed(fitted, data):
        calls.append(len(fitted))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return score_cells(fitted, data)

    with monkeypatch.context() as patch:
        patch.setattr(together, "score_cells", killed)
        with pytest.raises(KeyboardInterrupt):
            swept(out, *grid)
    node = node_of(out, *grid)
    done = RowLog.of(node.folder).done()
    assert calls == [8, 4] and len(done) == 8 and len(node.sweep_grid.left) == 4
    found = heads(swept(out, *grid))
    assert len(inline.axes) == 12 and set(found["state"]) == {"ok"}
    kept = found[found["cell"].isin(list(done))]
    assert sorted(kept["seconds"]) == sorted(row["seconds"] for row in done.values())
    monkeypatch.setattr(together, "MOST", 1)
    alone = heads(swept(out, *grid, force=True))
    pd.testing.assert_frame_equal(
        found.drop(columns=[*TIMES]), alone.drop(columns=[*TIMES]), check_exact=True
    )


def test_groups_are_of_one_data_set_and_hold_cells_that_compare_the_same_beside_each_other(out):
    cells = node_of(
        out,
        "noise.error=0.1,0.2,0.3",
        "pairing=same_prompt,cross_prompt",
        "seed=0,1",
        "label_golden=sentiment,length",
    ).sweep_grid.cells
    groups = groups_of(cells, 1)
    assert sorted(c.fingerprint for g in groups for c in g) == sorted(c.fingerprint for c in cells)
    assert {len(group) for group in groups} == {6}
    for group in groups:
        assert len({(c.data, c.settings.validation.seed) for c in group}) == 1
        compared = [(c.axes["pairing"], c.axes["seed"]) for c in group]
        assert len(set(compared[:3])) == len(set(compared[3:])) == 1


def test_every_worker_gets_several_groups(out):
    cells = node_of(out, f"centring={','.join(map(str, range(100)))}").sweep_grid.cells
    assert max(map(len, groups_of(cells, 1))) == 8
    assert {len(group) for group in groups_of(cells, 2)} == {6, 4}
    assert {len(group) for group in groups_of(cells, 16)} == {1}
    assert {len(group) for group in groups_of(cells[:4], 2)} == {1}


def test_bytes_are_those_of_arrays_and_texts_wherever_they_are():
    array = np.zeros(10)
    assert bytes_of({"a": [array, ("text", 3)], "b": None}) == 84
