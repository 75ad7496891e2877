"""The results of a sweep at a terminal: means over seeds, best first, beside the controls."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from rich.markup import escape
from rich.table import Table

from rmlab.artifacts.artifact import Artifact
from rmlab.commands.tables import console

SHOWN = 20
NARROWEST = 80  # columns; a terminal of fewer wraps the lines
METRICS = {
    "validation_best_of_n": "validation best of n",
    "test_best_of_n": "test best of n",
    "test_spearman": "Spearman",
    "test_accuracy": "accuracy",
    "error_rate": "wrong answers",
    "seconds": "seconds",
}


def print_results(artifact: Artifact, axes: Sequence[str]) -> None:
    frame = artifact.read("results").to_pandas()
    heads = frame[(frame["kind"] == "head") & (frame["state"] == "ok")]
    shown = [axis for axis in axes if axis != "seed"] or list(axes)
    if len(heads):
        _print_means(heads, shown)
    _print_controls(frame[frame["kind"] != "head"], axes)
    failed = frame[frame["state"] == "failed"]
    for reason, count in failed["reason"].value_counts().items():
        print(f"failed: {count} cell{'s' * (count > 1)}: {reason}")
    if len(failed):
        print("cells that failed are tried again when the same command is run again")
    print(f"results: {artifact.path / 'results.parquet'}")


def _print_controls(controls: pd.DataFrame, axes: Sequence[str]) -> None:
    """A line for each data set of the sweep."""
    for _, rows in controls.groupby(controls["cell"].str.rpartition("-")[2], sort=False):
        where = [f"{axis}={rows[axis].iloc[0]}" for axis in axes if rows[axis].notna().all()]
        names = [f"{r.kind} {r.test_best_of_n:.3f}" for r in rows.itertuples()]
        print(f"controls{''.join(f' {w}' for w in where)}, test best of n: {', '.join(names)}")


def _print_means(heads: pd.DataFrame, axes: list[str]) -> None:
    grouped = heads.groupby(axes, dropna=False)
    means = grouped[list(METRICS)].mean().assign(cells=grouped.size()).reset_index()
    means = means.sort_values("validation_best_of_n", ascending=False)
    table = Table(*map(escape, axes), "cells", *METRICS.values(), box=None, pad_edge=False)
    for row in means.head(SHOWN).to_dict("records"):
        values = [f"{row[name]:.3f}" for name in METRICS]
        names = ("" if pd.isna(row[axis]) else escape(str(row[axis])) for axis in axes)
        table.add_row(*names, str(row["cells"]), *values)
    terminal = console()
    terminal.width = max(terminal.width, NARROWEST)
    terminal.print(table)
    if len(means) > SHOWN:
        print(f"... and {len(means) - SHOWN} more; sorted by best of n on validation prompts")
