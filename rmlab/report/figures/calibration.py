"""Figures of calibration: predicted probabilities of pairs against observed shares."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from rmlab.report.content import ReportContent
from rmlab.report.figures.svg import COLOURS, draw, entitle
from rmlab.report.heldout import CV
from rmlab.report.result_tables import metric
from rmlab.report.shown_arms import ShownArm, leading, ordered_arms, rows_of
from rmlab.report.wording import count, number

SIZE = (320, 340)


def reliability(content: ReportContent) -> list[str]:
    """Reliability curves on the reported split, with pairs in each bin; a panel for each leading head."""
    bins = content.calibration.dropna(subset=["predicted", "observed"])
    bins = bins[bins["split"] == content.split]
    names = [arm.name for arm in ordered_arms(content)]
    eces = {name: metric(content, name, "ece_annotators", content.split).value for name in names}
    return _panels(content, bins, content.split, eces, "calibration")


def heldout_reliability(content: ReportContent) -> list[str]:
    """Reliability curves on the pairs of cross-validation; a panel for each leading head."""
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
    """The start of both axes in all panels: about 0.5 if all probabilities of the table lie above that."""
    smallest = float(bins[["predicted", "observed"]].min().min()) if len(bins) else 0.0
    return 0.0 if not np.isfinite(smallest) else max(0.0, np.floor(smallest * 10) / 10)


def _panel(arm: ShownArm, rows: pd.DataFrame, ece: str, name: str, low: float) -> str:
    rows = rows.sort_values("bin")
    points = ", ".join(f"{number(r.predicted, 2)}: {number(r.observed, 2)}" for r in rows.itertuples())
    alt = f"Reliability curve of {arm.name}, calibration error {ece}. Predicted: observed: {points}."
    return draw(name, alt, SIZE, partial(_paint_calibration, rows=rows, arm=arm, ece=ece, low=low))


def _paint_calibration(figure: Figure, rows: pd.DataFrame, arm: ShownArm, ece: str, low: float) -> None:
    curve, bars = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    colour = COLOURS[arm.role]
    pad = 0.02 * (1 - low)
    curve.plot([low, 1], [low, 1], color=COLOURS["quiet"], linewidth=1, linestyle="--")
    curve.plot(
        rows["predicted"], rows["observed"], color=colour, linewidth=1.8, marker=arm.marker, markersize=5
    )
    curve.set(xlim=(low - pad, 1 + pad), ylim=(low - pad, 1 + pad), ylabel="observed")
    curve.grid()
    entitle(curve, arm.label(30), f"ECE {ece}")
    width = 0.6 * (1 - low) / max(len(rows), 5)
    bars.bar(rows["predicted"], rows["count"], width=width, color=colour, alpha=0.45)
    largest = int(rows["count"].max())
    bars.set_yticks([largest], [count(largest)])
    bars.set_ylabel("pairs")
    bars.set_xlabel("predicted probability")
