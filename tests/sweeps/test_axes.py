"""The values on an axis are numbers in the table of results, where all of them are."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_settings import SMALL
from sweep_helpers import heads, node_of, swept

from rmlab.pipeline.stages import BY_NAME, SWEEP
from rmlab.sweeps.axes import AxisValues, typed


@pytest.mark.parametrize(
    ("texts", "kind", "values"),
    [
        (["0", "2", "-1"], pa.int64(), [0, 2, -1]),
        (["0.05", "1e-3", "2"], pa.float64(), [0.05, 0.001, 2.0]),
        (["true", "false"], pa.bool_(), [True, False]),
        (["linear", "mlp"], pa.string(), None),
        (["1", "true"], pa.string(), None),
        (["500", "null"], pa.string(), None),
        (["[0.1]", "[1,2]"], pa.string(), None),
        (["007"], pa.string(), None),
        ([str(2**63 - 1)], pa.int64(), [2**63 - 1]),
        ([str(2**63)], pa.string(), None),
        (["a, b]"], pa.string(), None),
        ([], pa.string(), []),
    ],
)
def test_a_column_has_the_type_that_all_values_have(texts, kind, values):
    found = typed(texts)
    wanted = texts if values is None else values
    assert found.type == kind and [found.of[text] for text in texts] == wanted
    assert [type(found.of[text]) for text in texts] == [type(value) for value in wanted]
    pa.array(list(found.of.values()), found.type)  # the column can hold them


def test_controls_have_no_seed_and_the_column_stays_one_of_whole_numbers(out, inline):
    swept(out, "seed=0,1", "centring=0.0,0.1", "head=linear,directions")
    table = pq.read_table(
        node_of(out, "seed=0,1", "centring=0.0,0.1", "head=linear,directions").folder / "results.parquet"
    )
    kinds = {axis: table.schema.field(axis).type for axis in ("seed", "centring", "head")}
    assert kinds == {"seed": pa.int64(), "centring": pa.float64(), "head": pa.string()}
    assert table["seed"].to_pylist() == [0, 0, 0, 0, 1, 1, 1, 1] + [None] * 5


def test_rows_of_a_sweep_with_text_axes_are_taken_over_and_the_sweep_is_stale(cli, out, inline, monkeypatch):
    """A sweep as rmlab wrote it before the axes had types: version 5 of its stage, with texts alone."""
    with monkeypatch.context() as before:
        before.setattr("rmlab.sweeps.plan.SWEEP", replace(SWEEP, version=5))
        before.setitem(BY_NAME, SWEEP.name, replace(SWEEP, version=5))
        before.setattr(
            "rmlab.stages.sweep.axis_values",
            lambda grid: {
                axis: AxisValues(pa.string(), {c.axes[axis]: c.axes[axis] for c in grid.cells})
                for axis in grid.axes
            },
        )
        old = heads(swept(out, "seed=0,1"))
    assert list(old["seed"]) == ["0", "1"] and len(inline.axes) == 2
    new = heads(swept(out, "seed=0,1", "centring=0.0"))
    assert list(new["seed"]) == [0, 1] and len(inline.axes) == 2, "no cell is fitted again"
    assert list(new["test_best_of_n"]) == list(old["test_best_of_n"])
    verified = cli("verify", out, "--json")
    states = {row["why"] for row in verified.json["artifacts"] if row["state"] == "stale"}
    assert verified.code == 3 and states == {"its stage has version 6, and it was made by version 5"}
    assert cli("sweep", *SMALL, f"out={out}", "seed=0,1").code == 0 and len(inline.axes) == 2
