"""The table of cells and test prompts: against the rows of the cells, and whole after an interruption."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sweep_helpers import copied, node_of

from rmlab.metrics.among_n import best_of_n
from rmlab.metrics.order import ScoreOrder
from rmlab.pipeline.run import run_nodes
from rmlab.storage.artifact import Artifact, open_artifact
from rmlab.storage.sweep_schema import PROMPT_METRICS
from rmlab.sweeps.rows import packed_by_cell, unpacked

GRID = ("seed=0,1", "noise.error=0.1,0.3")


def _swept(out: Path, *grid: str) -> Artifact:
    made = run_nodes([node_of(out, *grid)], "test", quiet=True)[0].artifact
    assert made is not None
    return made


def _prompts(artifact: Artifact) -> pd.DataFrame:
    return artifact.read("cell_prompts").to_pandas()


def test_means_over_prompts_are_the_numbers_of_the_cell(out, inline):
    made = _swept(out, *GRID)
    results = made.read("results").to_pandas().set_index("cell")
    prompts = _prompts(made)
    assert set(prompts["cell"]) == set(results.index) and len(prompts) == 6 * (4 + 5)
    means = prompts.groupby("cell")[list(PROMPT_METRICS)].mean()
    pairs = {
        "best_of_largest": "best_of_n",
        "spearman": "spearman",
        "accuracy": "accuracy",
        "selected_quantile": "selected_quantile",
    }
    for kept, metric in pairs.items():
        expected = results[f"test_{metric}"].loc[means.index].astype(float)
        np.testing.assert_allclose(means[kept], expected, rtol=1e-5, equal_nan=True, err_msg=metric)
    assert prompts["best_of_16"].isna().all() and prompts["best_of_4"].notna().all()  # of 6 responses


def test_a_control_has_the_values_of_its_prompts(out, inline, small_run):
    prompts = _prompts(_swept(out, *GRID))
    sample = open_artifact(next((small_run / "sample").iterdir())).read().to_pandas()
    scores = [open_artifact(p) for p in (small_run / "annotate").iterdir()]
    golden = next(a for a in scores if a.manifest.name == "sentiment").read().to_pandas()
    both = sample[sample["split"] == "test"].merge(golden[["response_id", "score"]], on="response_id")
    oracle = prompts[prompts["cell"].str.startswith("oracle-")].set_index("prompt_id")
    for prompt_id, rows in both.groupby("prompt_id"):
        score = rows["score"].to_numpy()
        expected = best_of_n(ScoreOrder.flat(score, score, np.zeros(len(score), dtype=int)), [4])[0, 0]
        assert oracle.loc[prompt_id, "best_of_4"] == pytest.approx(expected, rel=1e-6)
    assert len(oracle) == both["prompt_id"].nunique()


def test_what_was_interrupted_or_taken_over_has_the_same_values(out, inline, small_run, tmp_path):
    inline.stop_after = 2
    with pytest.raises(KeyboardInterrupt):
        _swept(out, *GRID)
    inline.stop_after = None
    resumed = _prompts(_swept(out, *GRID))
    assert len(inline.axes) == 4
    whole = _prompts(_swept(copied(small_run, tmp_path / "other"), *GRID))
    pd.testing.assert_frame_equal(resumed, whole, check_exact=True)
    larger = _swept(out, "seed=0,1,2", "noise.error=0.1,0.3")
    assert len(inline.axes) == 8 + 2
    again = _prompts(larger)
    kept = again[again["cell"].isin(whole["cell"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(
        *(f.sort_values(["cell", "prompt_id"], ignore_index=True) for f in (kept, whole)), check_exact=True
    )


def test_rows_in_any_order_give_the_values_of_a_cell_back(out, inline):
    table = _swept(out, *GRID).read("cell_prompts")
    shuffled = table.take(pa.array(np.random.default_rng(0).permutation(table.num_rows)))
    cells = sorted(set(table["cell"].to_pylist()))[:2]
    found = packed_by_cell(shuffled, pa.array(cells))
    assert sorted(found) == cells
    frame = table.to_pandas()
    for cell, text in found.items():
        expected = frame[frame["cell"] == cell].sort_values("prompt_id")[list(PROMPT_METRICS)].to_numpy()
        np.testing.assert_array_equal(unpacked(text).T, expected)
    assert packed_by_cell(table, pa.array(["none"])) == {}


def test_a_cell_that_failed_has_no_prompts(out, inline):
    made = _swept(out, "head=linear,trees", "loss=choice(hinge)")
    results = made.read("results").to_pandas()
    failed = set(results[results["state"] == "failed"]["cell"])
    assert len(failed) == 1 and not failed & set(_prompts(made)["cell"])
