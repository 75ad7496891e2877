"""Reliability curves: the probability a head gives, against how often the annotators answer so."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from rmlab.report.arms import Arm, leading, ordered_arms, rows_of
from rmlab.report.content import ReportContent
from rmlab.report.figures.svg import COLOURS, draw
from rmlab.report.heldout import CV
from rmlab.report.tables import metric
from rmlab.report.wording import count, number

SIZE = (320, 340)


def reliability(content: ReportContent) -> list[str]:
    """One panel for each leading head: the reliability curve, and how many pairs each bin holds."""
    bins = content.calibration.dropna(subset=["predicted", "observed"])
    bins = bins[bins["split"] == content.split]
    names = [arm.name for arm in ordered_arms(content)]
    eces = {name: metric(content, name, "ece_annotators", content.split).value for name in names}
    return _panels(content, bins, content.split, eces, "calibration")


def heldout_reliability(content: ReportContent) -> list[str]:
    """The same of the pairs of cross-validation."""
    if content.heldout is None:
        return []
    bins, rows = content.heldout.calibration, content.heldout.accuracy
    rows = rows[rows["split"] == CV]
    eces = dict(zip(rows["arm"], rows["ece"], strict=True))
    return _panels(content, bins[bins["split"] == CV], CV, eces, "heldout-calibration")


def _panels(
    content: ReportContent, bins: pd.DataFrame, split: str, eces: dict[str, float], name: str
) -> list[str]:
    low, arms = _floor(bins), ordered_arms(content)
    return [
        _panel(arm, rows_of(bins, arm, split), number(eces[arm.name]), f"{name}-{i}", low)
        for i, arm in enumerate(leading([a for a in arms if len(rows_of(bins, a, split))]))
    ]


def _floor(bins: pd.DataFrame) -> float:
    """Where both axes begin, the same for all heads: 0.5 when only the favourite's side is tabled."""
    smallest = float(bins[["predicted", "observed"]].min().min()) if len(bins) else 0.0
    return 0.0 if not np.isfinite(smallest) else max(0.0, np.floor(smallest * 10) / 10)


def _panel(arm: Arm, rows: pd.DataFrame, ece: str, name: str, low: float) -> str:
    rows = rows.sort_values("bin")
    points = ", ".join(f"{number(r.predicted, 2)}: {number(r.observed, 2)}" for r in rows.itertuples())
    alt = f"Reliability curve of {arm.name}, calibration error {ece}. Predicted: observed: {points}."
    return draw(name, alt, SIZE, partial(_paint_calibration, rows=rows, arm=arm, ece=ece, low=low))


def _paint_calibration(figure: Figure, rows: pd.DataFrame, arm: Arm, ece: str, low: float) -> None:
    curve, bars = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    colour = COLOURS[arm.role]
    pad = 0.02 * (1 - low)
    curve.plot([low, 1], [low, 1], color=COLOURS["quiet"], linewidth=1, linestyle="--")
    curve.plot(
        rows["predicted"], rows["observed"], color=colour, linewidth=1.8, marker=arm.marker, markersize=5
    )
    curve.set(xlim=(low - pad, 1 + pad), ylim=(low - pad, 1 + pad), ylabel="observed")
    curve.grid()
    curve.set_title(f"{arm.label(30)}\n")
    curve.text(0, 1.02, f"ECE {ece}", transform=curve.transAxes, color=COLOURS["muted"], fontsize=11)
    width = 0.6 * (1 - low) / max(len(rows), 5)
    bars.bar(rows["predicted"], rows["count"], width=width, color=colour, alpha=0.45)
    largest = int(rows["count"].max())
    bars.set_yticks([largest], [count(largest)])
    bars.set_ylabel("pairs")
    bars.set_xlabel("predicted probability")
