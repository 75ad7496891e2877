"""Values with their intervals, one row an arm: the metrics of the heads, and paired differences."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rmlab.report.content import ReportContent
from rmlab.report.figures.svg import COLOURS, draw
from rmlab.report.result_tables import OTHER_METRICS, Estimate, differences, largest_n, metric
from rmlab.report.shown_arms import ShownArm, ordered_arms
from rmlab.report.wording import interval, number, shorten_name

TITLES = {
    "best_of_n": ("Best-of-{n}", "higher is better"),
    "selected_quantile": ("Selected quantile", "higher is better, random 0.5"),
    "spearman": ("Spearman", "higher is better"),
    "kendall": ("Kendall", "higher is better"),
    "accuracy": ("Accuracy on pairs", "higher is better"),
    "ece_annotators": ("Calibration error (ECE)", "against annotators, lower is better"),
    "length_spearman": ("Correlation with length", "dashed: the oracle"),
}
ORACLE = "oracle"
_ROW, _FRAME = 24, 74  # CSS pixels: a row, and all that is not rows


def metric_dots(content: ReportContent) -> list[str]:
    """One panel a metric, with all heads; a metric that no head has is left out."""
    return [svg for name in ("best_of_n", *OTHER_METRICS) if (svg := _metric_panel(content, name))]


def _metric_panel(content: ReportContent, name: str) -> str:
    heads = [a for a in ordered_arms(content) if a.is_head]
    rows = [(a, metric(content, a.name, name, content.split)) for a in heads]
    if not any(math.isfinite(e.value) for _, e in rows):
        return ""
    title, note = TITLES[name]
    title = title.format(n=largest_n(content))
    reference = metric(content, ORACLE, name, content.split).value if name == "length_spearman" else math.nan
    note = note if name != "length_spearman" or math.isfinite(reference) else ""
    paint = partial(_paint, rows=rows, title=title, note=note, reference=reference)
    return draw(f"dots-{name}", f"{title}. {_alt(rows)}", (340, _FRAME + _ROW * len(rows)), paint)


def paired_differences(content: ReportContent) -> str:
    """The chosen head minus each other arm, with a line at no difference."""
    found = [(d.arm, d.estimate) for d in differences(content, ordered_arms(content))]
    rows = [(arm, e) for arm, e in found if math.isfinite(e.value)]
    if not rows:
        return ""
    title = f"{shorten_name(content.chosen, 24)} minus …"
    paint = partial(
        _paint, rows=rows, title=title, note="right of 0: the chosen head is better", reference=0.0
    )
    alt = f"Differences of best-of-{largest_n(content)}, {content.chosen} minus: {_alt(rows)}"
    return draw("paired", alt, (420, _FRAME + _ROW * len(rows)), paint)


def _paint(
    figure: Figure, rows: list[tuple[ShownArm, Estimate]], title: str, note: str, reference: float
) -> None:
    axes = figure.add_subplot()
    if math.isfinite(reference):
        axes.axvline(reference, color=COLOURS["quiet"], linewidth=1, linestyle="--")
    for place, (arm, estimate) in enumerate(rows):
        _dot(axes, place, arm, estimate)
    axes.set_yticks(range(len(rows)), [a.label(24) for a, _ in rows])
    for label, (arm, _) in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_color(COLOURS["ink"] if arm.is_head else COLOURS["muted"])
        label.set_fontweight("bold" if arm.is_chosen else "normal")
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.locator_params(axis="x", nbins=5)
    axes.set_title(title + ("\n" if note else ""))
    # At a distance in points: a share of the axes' height would grow with the rows, into the title.
    look: dict[str, Any] = {"color": COLOURS["muted"], "fontsize": 11}
    axes.annotate(note, (0, 1), (0, 4), xycoords="axes fraction", textcoords="offset points", **look)


def _dot(axes: Axes, place: int, arm: ShownArm, estimate: Estimate) -> None:
    colour = COLOURS[arm.role]
    axes.plot([estimate.low, estimate.high], [place, place], color=colour, linewidth=2, alpha=0.6)
    fill = colour if arm.is_head else COLOURS["paper"]
    marker = arm.marker or "o"
    axes.plot([estimate.value], [place], marker, color=colour, markerfacecolor=fill, markersize=6.5)


def _alt(rows: list[tuple[ShownArm, Estimate]]) -> str:
    texts = [f"{a.name} {number(e.value)} {interval(e.low, e.high)}".strip() for a, e in rows]
    return "; ".join(texts) + "."
