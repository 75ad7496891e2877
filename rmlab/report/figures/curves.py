"""Best-of-N golden reward against N, for every arm."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rmlab.report.arms import Arm, leading, ordered_arms, rows_of
from rmlab.report.content import ReportContent
from rmlab.report.figures.svg import COLOURS, draw
from rmlab.report.wording import interval, number, shorten

WIDE, NARROW = (1040, 500), (380, 360)
_LINE = 15  # height of a direct label, in CSS pixels


def best_of_n(content: ReportContent, wide: bool = True) -> str:
    """The curves of all arms; the wide form names them beside their ends, the narrow one needs a legend.

    Heads that are not among the leading ones are thin lines without a name; the band is then that of the
    chosen head alone.
    """
    size = WIDE if wide else NARROW
    name = "curves-wide" if wide else "curves-narrow"
    return draw(name, _alt(content), size, partial(_paint_curves, content=content, size=size, wide=wide))


def _paint_curves(figure: Figure, content: ReportContent, size: tuple[int, int], wide: bool) -> None:
    frame = content.curves[content.curves["split"] == content.split]
    width, height = size
    left, right, bottom, top = 60, 190 if wide else 14, 52, 58
    box = (left / width, bottom / height, (width - left - right) / width, (height - bottom - top) / height)
    figure.set_layout_engine("none")  # the box leaves room for the names on the right
    axes = figure.add_axes(box)
    # Controls first: the heads belong on top, the chosen one above all.
    arms = [a for a in ordered_arms(content) if len(rows_of(content.curves, a, content.split))]
    named = [a for a in arms if not a.is_head or a in leading(arms)]
    n_heads = sum(a.is_head for a in arms)
    band = 0.0 if len(named) < len(arms) else min(0.13, 0.6 / max(1, n_heads))  # many would hide the lines
    for arm in sorted(arms, key=lambda a: (a in named, a.is_head, a.is_chosen)):
        rows = rows_of(frame, arm, content.split).sort_values("n")
        if arm in named:
            _curve(axes, rows, arm, 0.13 if arm.is_chosen else band)
        else:
            axes.plot(rows["n"], rows["value"], color=COLOURS["quiet"], linewidth=0.7, alpha=0.6)
    _scales(axes, frame, 12 if wide else 6)
    axes.set_ylabel(f"best-of-N, mean {shorten(content.reward, 30)}")
    if wide:
        _label_ends(axes, frame, named, (height - bottom - top))


def _curve(axes: Axes, rows: pd.DataFrame, arm: Arm, opacity: float) -> None:
    colour = COLOURS[arm.role]
    n, value = rows["n"].to_numpy(), rows["value"].to_numpy()
    if arm.is_head and opacity:
        axes.fill_between(n, rows["low"], rows["high"], color=colour, alpha=opacity, linewidth=0)
        if len(rows) == 1:  # a band over one point has no width
            axes.vlines(n, rows["low"], rows["high"], color=colour, linewidth=1.2)
    marker = arm.marker if arm.is_head else ("_" if len(rows) == 1 else "")
    width = 2.6 if arm.is_chosen else (1.6 if arm.is_head else 1.3)
    axes.plot(n, value, color=colour, linestyle=arm.linestyle, linewidth=width, marker=marker, markersize=4.5)


def _scales(axes: Axes, frame: pd.DataFrame, most_ticks: int) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xlabel("N, responses to choose from (log scale)")
    axes.grid(axis="y")
    kl = frame.drop_duplicates("n").set_index("n")["kl"].sort_index()
    if not len(kl):
        return
    low, high = float(kl.index[0]), float(kl.index[-1])
    pad = 2**0.15 if high > low else 2.0
    ticks = _thin(kl.index.to_list(), most_ticks)
    top = axes.secondary_xaxis("top")
    top.set_xlabel("KL from the policy (nats)", labelpad=7)
    top.spines["top"].set_visible(True)
    top.spines["top"].set_color(COLOURS["grid"])
    axes.set_xlim(low / pad, high * pad)
    for axis, labels in (
        (axes.xaxis, [str(n) for n in ticks]),
        (top.xaxis, [number(kl[n], 2) for n in ticks]),
    ):
        axis.set_ticks(ticks, labels)
        axis.set_ticks([], minor=True)


def _thin(ns: list[int], most: int) -> list[int]:
    """At most about `most` of the values, evenly spread on the log scale, the ends among them."""
    step = (np.log2(ns[-1]) - np.log2(ns[0])) / most
    kept = [ns[-1]]
    for n in reversed(ns[:-1]):
        if np.log2(kept[-1]) - np.log2(n) >= step - 1e-9:
            kept.append(n)
    return kept[::-1]


def _label_ends(axes: Axes, frame: pd.DataFrame, arms: list[Arm], height: int) -> None:
    ends = frame.sort_values("n").dropna(subset="value").groupby("arm").last()
    arms = sorted((a for a in arms if a.name in ends.index), key=lambda a: ends.loc[a.name, "value"])
    low, high = axes.get_ylim()
    values = [float(ends.loc[a.name, "value"]) for a in arms]
    places = spread([(v - low) / (high - low) * height for v in values], _LINE)
    for arm, value, place in zip(arms, values, places, strict=True):
        axes.annotate(
            arm.label(22),
            xy=(float(ends.loc[arm.name, "n"]), value),
            xytext=(1.02, place / height),
            textcoords="axes fraction",
            color=COLOURS[arm.role],
            fontsize=12,
            fontweight="bold" if arm.is_chosen else "normal",
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": COLOURS[arm.role], "linewidth": 0.6, "shrinkB": 4},
        )


def spread(targets: list[float], gap: float) -> list[float]:
    """Ascending targets, moved apart as little as a gap between neighbours allows."""
    places = list(targets)
    for _ in range(200):
        for i in range(len(places) - 1):
            overlap = gap - (places[i + 1] - places[i])
            if overlap > 0:
                places[i] -= overlap / 2
                places[i + 1] += overlap / 2
    return places


def _alt(content: ReportContent) -> str:
    parts = []
    for arm in ordered_arms(content):
        rows = rows_of(content.curves, arm, content.split).dropna(subset="value").sort_values("n")
        if len(rows):
            last = rows.iloc[-1]
            parts.append(f"{arm.name} {number(last['value'])} {interval(last['low'], last['high'])}".strip())
    n = content.curves["n"].max() if len(content.curves) else 0
    return f"Line chart of best-of-N {content.reward} against N on {content.split} prompts. At N = {n}: " + (
        "; ".join(parts) + "."
    )
