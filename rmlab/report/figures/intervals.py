"""Figures of values with intervals, a row for each arm: metrics, paired differences, held-out accuracies."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rmlab.report.content import ReportContent
from rmlab.report.figures.svg import COLOURS, draw, label_rows
from rmlab.report.heldout import HeldOutRow
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
COIN = 0.5  # the accuracy of a coin
_FRAME = 74  # CSS pixels of height beside the rows
_ROW, _TALL_ROW = 24, 34  # CSS pixels of height of a row


def metric_dots(content: ReportContent) -> list[str]:
    """A panel for each metric that some head has, with all heads."""
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
    """Differences of best-of-N between the chosen head and each other arm, with a line at 0."""
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
        _dot(axes, place, arm, estimate, bar=(2.0, 0.6), is_filled=arm.is_head)
    _label_arms(axes, [arm for arm, _ in rows], 24)
    axes.locator_params(axis="x", nbins=5)
    axes.set_title(title + ("\n" if note else ""))
    # The distance is in points: a share of the axes' height would grow with the rows, into the title.
    look: dict[str, Any] = {"color": COLOURS["muted"], "fontsize": 11}
    axes.annotate(note, (0, 1), (0, 4), xycoords="axes fraction", textcoords="offset points", **look)


def _alt(rows: list[tuple[ShownArm, Estimate]]) -> str:
    return "; ".join(f"{arm.name} {_words(estimate)}" for arm, estimate in rows) + "."


def heldout_accuracies(rows: list[HeldOutRow]) -> str:
    """Accuracies on held-out pairs: by cross-validation (filled) and on the test split (hollow)."""
    if not rows:
        return ""
    texts = [f"{r.arm.name} {_words(r.cv)}, on the test split {_words(r.test)}" for r in rows]
    alt = f"Held-out accuracy by cross-validation: {'; '.join(texts)}."
    return draw("heldout", alt, (560, _FRAME + _TALL_ROW * len(rows)), partial(_paint_accuracies, rows=rows))


def _paint_accuracies(figure: Figure, rows: list[HeldOutRow]) -> None:
    axes = figure.add_subplot()
    axes.axvline(COIN, color=COLOURS["quiet"], linewidth=1, linestyle="--")
    for place, row in enumerate(rows):
        _dot(axes, place - 0.15, row.arm, row.cv, bar=(2.0, 0.7), is_filled=True)
        _dot(axes, place + 0.2, row.arm, row.test, bar=(1.2, 0.5), is_filled=False, size=5)
    _label_arms(axes, [row.arm for row in rows], 28)
    axes.set_xlabel("share of held-out pairs")


def _dot(
    axes: Axes,
    place: float,
    arm: ShownArm,
    estimate: Estimate,
    bar: tuple[float, float],
    is_filled: bool,
    size: float = 6.5,
) -> None:
    """Draws an estimate with its interval. bar: width and opacity of the interval's line."""
    colour, (width, alpha) = COLOURS[arm.role], bar
    axes.plot([estimate.low, estimate.high], [place, place], color=colour, linewidth=width, alpha=alpha)
    fill = colour if is_filled else COLOURS["paper"]
    axes.plot(
        [estimate.value], [place], arm.marker or "o", color=colour, markerfacecolor=fill, markersize=size
    )


def _label_arms(axes: Axes, arms: list[ShownArm], length: int) -> None:
    label_rows(axes, [arm.label(length) for arm in arms])
    for label, arm in zip(axes.get_yticklabels(), arms, strict=True):
        label.set_color(COLOURS["ink"] if arm.is_head else COLOURS["muted"])
        label.set_fontweight("bold" if arm.is_chosen else "normal")


def _words(estimate: Estimate) -> str:
    return f"{number(estimate.value)} {interval(estimate.low, estimate.high)}".strip()
