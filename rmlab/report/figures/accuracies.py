"""Held-out accuracies with their intervals, an arm a row: cross-validation above, the test split below."""

from __future__ import annotations

from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rmlab.report.arms import Arm
from rmlab.report.figures.svg import COLOURS, draw
from rmlab.report.heldout import HeldOutRow
from rmlab.report.tables import Estimate
from rmlab.report.wording import interval, number

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


def _bar(axes: Axes, place: float, arm: Arm, e: Estimate, filled: bool) -> None:
    colour = COLOURS[arm.role]
    width, alpha = (2.0, 0.7) if filled else (1.2, 0.5)
    axes.plot([e.low, e.high], [place, place], color=colour, linewidth=width, alpha=alpha)
    fill, size = (colour, 6.5) if filled else (COLOURS["paper"], 5)
    axes.plot([e.value], [place], arm.marker or "o", color=colour, markerfacecolor=fill, markersize=size)
