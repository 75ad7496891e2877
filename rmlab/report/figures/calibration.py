"""Figures of calibration, and of held-out accuracies."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rmlab.report.content import ReportContent
from rmlab.report.figures.svg import COLOURS, draw
from rmlab.report.heldout import CV, HeldOutRow
from rmlab.report.result_tables import Estimate, metric
from rmlab.report.shown_arms import ShownArm, leading, ordered_arms, rows_of
from rmlab.report.wording import count, interval, number

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
    curve.set_title(f"{arm.label(30)}\n")
    curve.text(0, 1.02, f"ECE {ece}", transform=curve.transAxes, color=COLOURS["muted"], fontsize=11)
    width = 0.6 * (1 - low) / max(len(rows), 5)
    bars.bar(rows["predicted"], rows["count"], width=width, color=colour, alpha=0.45)
    largest = int(rows["count"].max())
    bars.set_yticks([largest], [count(largest)])
    bars.set_ylabel("pairs")
    bars.set_xlabel("predicted probability")


COIN = 0.5
_ROW, _FRAME = 34, 74  # CSS pixels: a row, and all that is not rows


def heldout_accuracies(rows: list[HeldOutRow]) -> str:
    if not rows:
        return ""
    texts = [f"{r.arm.name} {_words(r.cv)}, on the test split {_words(r.test)}" for r in rows]
    alt = f"Held-out accuracy by cross-validation: {'; '.join(texts)}."
    return draw("heldout", alt, (560, _FRAME + _ROW * len(rows)), partial(_paint_accuracies, rows=rows))


def _words(e: Estimate) -> str:
    return f"{number(e.value)} {interval(e.low, e.high)}".strip()


def _paint_accuracies(figure: Figure, rows: list[HeldOutRow]) -> None:
    axes = figure.add_subplot()
    axes.axvline(COIN, color=COLOURS["quiet"], linewidth=1, linestyle="--")
    for place, row in enumerate(rows):
        _bar(axes, place - 0.15, row.arm, row.cv, filled=True)
        _bar(axes, place + 0.2, row.arm, row.test, filled=False)
    axes.set_yticks(range(len(rows)), [row.arm.label(28) for row in rows])
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_color(COLOURS["ink"] if row.arm.is_head else COLOURS["muted"])
        label.set_fontweight("bold" if row.arm.is_chosen else "normal")
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.set_xlabel("share of held-out pairs")


def _bar(axes: Axes, place: float, arm: ShownArm, e: Estimate, filled: bool) -> None:
    colour = COLOURS[arm.role]
    width, alpha = (2.0, 0.7) if filled else (1.2, 0.5)
    axes.plot([e.low, e.high], [place, place], color=colour, linewidth=width, alpha=alpha)
    fill, size = (colour, 6.5) if filled else (COLOURS["paper"], 5)
    axes.plot([e.value], [place], arm.marker or "o", color=colour, markerfacecolor=fill, markersize=size)
