"""Prints what stages have made: their states, and the figures of an evaluation."""

from __future__ import annotations

import math

import pandas as pd

from rmlab.pipeline.run import Outcome
from rmlab.storage.artifact import Artifact
from rmlab.terminal import say, say_table


def print_stages(outcomes: list[Outcome]) -> None:
    table = []
    for o in outcomes:
        made = o.artifact.manifest if o.artifact else None
        rows, seconds = (f"{made.rows:,}", f"{made.seconds:,.1f}") if made else ("", "")
        table.append((o.node.stage, o.node.name, o.state, rows, seconds, str(o.node.folder)))
    say_table(("stage", "name", "state", "rows", "seconds", "artifact"), table)


def print_evaluation(artifact: Artifact) -> None:
    """Prints heads and controls on test prompts, with the chosen head marked."""
    frame = artifact.read("metrics").to_pandas()
    test = frame[frame["split"] == "test"]
    wide = test.pivot(index=["arm", "kind"], columns="metric", values="value").reset_index()
    best = test[test["metric"] == "best_of_n"].set_index("arm")
    n = int(best["n"].max())
    prompts = int(best["n_prompts"].max())
    columns = (
        "head", f"best of {n}", "95% interval", "quantile", "Spearman", "accuracy", "ECE", "with length"
    )  # fmt: skip
    table = []
    chosen = artifact.manifest.metrics["chosen"]
    wide["order"] = wide["kind"].map({"head": 0, "control": 1})
    for row in wide.sort_values(["order", "best_of_n"], ascending=[True, False]).to_dict("records"):
        arm = row["arm"]
        name = f"{arm} *" if arm == chosen else arm if row["kind"] == "head" else f"({arm})"
        interval = f"{_number(best.loc[arm, 'low'])} to {_number(best.loc[arm, 'high'])}"
        others = ("selected_quantile", "spearman", "accuracy", "ece_annotators", "length_spearman")
        shown = [_number(row.get(m)) for m in others]
        table.append((name, _number(row["best_of_n"]), interval, *shown))
    say_table(columns, table, f"test prompts: {prompts}")
    by = artifact.manifest.metrics["chosen_by"]
    say(f"* chosen by {by}; in brackets: controls")
    for other in ("random", "length"):
        gap = artifact.manifest.metrics["chosen_minus"][other]
        if gap["low"] is not None:
            text = f"{gap['value']:+.3f} [{gap['low']:+.3f}, {gap['high']:+.3f}]"
            say(f"chosen head less {other}: {text}")


def print_heldout(artifact: Artifact) -> None:
    """Prints accuracies on held-out pairs, by cross-validation and on the test split."""
    frame = artifact.read("heldout").to_pandas()
    cv, test = (frame[frame["split"] == split].set_index("arm") for split in ("cv", "test"))
    folds, baseline = artifact.manifest.config["crossval"]["folds"], artifact.manifest.metrics["baseline"]
    columns = (
        "head", f"{folds} folds", "95% interval", "less the baseline", "ECE", "test split", "95% interval"
    )  # fmt: skip
    table = []
    for row in cv.reset_index().sort_values(["kind", "value"], ascending=[False, False]).to_dict("records"):
        arm, other = row["arm"], test.loc[row["arm"]]
        name = arm if row["kind"] == "head" else f"({arm})"
        over = (
            "" if arm == baseline else f"{row['over']:+.3f} {_span(row['over_low'], row['over_high'], '+')}"
        )
        cells = [_number(row["value"]), _span(row["low"], row["high"]), over, _number(row["ece"])]
        table.append((name, *cells, _number(other["value"]), _span(other["low"], other["high"])))
    say_table(columns, table, f"held-out accuracy: {_extent(cv)}; test split {_extent(test)}")
    say(f"in brackets: controls; baseline: {baseline}, tuned, on differences of embeddings")
    names = (
        ", ".join(artifact.manifest.metrics["recommended"]) or "none; use the baseline or bring more pairs"
    )
    say(f"recommended, not below the baseline in {folds} folds: {names}")


def _extent(frame: pd.DataFrame) -> str:
    first = frame.iloc[0]
    ties = f" and {first['n_ties']:,} ties, left out" if first["n_ties"] else ""
    return f"{first['n_pairs']:,} pairs of {first['n_groups']:,} groups{ties}"


def _span(low: float, high: float, sign: str = "") -> str:
    return f"{low:{sign}.3f} to {high:{sign}.3f}"


def _number(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.3f}"
