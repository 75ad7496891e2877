"""Figures of curves: best-of-N, a head's own score beside the golden reward, and training loss."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rmlab.report.content import ReportContent
from rmlab.report.figures.svg import COLOURS, draw, entitle
from rmlab.report.shown_arms import ShownArm, leading, ordered_arms, rows_of
from rmlab.report.wording import interval, number, shorten

WIDE, NARROW = (1040, 500), (380, 360)
_LINE = 15  # height of a direct label, in CSS pixels


def best_of_n(content: ReportContent, wide: bool = True) -> str:
    """Curves of best-of-N against N for all arms.

    The wide form has their names beside their ends; the narrow one needs a legend. Heads that are not among
    the leading ones are thin lines without names; if there are such heads, only the chosen one has a band.
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
    arms = [a for a in ordered_arms(content) if len(rows_of(content.curves, a, content.split))]
    named = [a for a in arms if not a.is_head or a in leading(arms)]
    n_heads = sum(a.is_head for a in arms)
    # Many bands would hide the lines.
    band = 0.0 if len(named) < len(arms) else min(0.13, 0.6 / max(1, n_heads))
    # The order puts heads above controls, and the chosen head on top.
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


def _curve(axes: Axes, rows: pd.DataFrame, arm: ShownArm, opacity: float) -> None:
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
    for axis, labels in ((axes.xaxis, map(str, ticks)), (top.xaxis, [number(kl[n], 2) for n in ticks])):
        axis.set_ticks(ticks, list(labels))
        axis.set_ticks([], minor=True)


def _thin(ns: list[int], most: int) -> list[int]:
    """About `most` of the values, the largest among them, spread evenly on the log scale."""
    step = (np.log2(ns[-1]) - np.log2(ns[0])) / most
    kept = [ns[-1]]
    for n in reversed(ns[:-1]):
        if np.log2(kept[-1]) - np.log2(n) >= step - 1e-9:
            kept.append(n)
    return kept[::-1]


def _label_ends(axes: Axes, frame: pd.DataFrame, arms: list[ShownArm], height: int) -> None:
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
    """Ascending targets, moved apart so that neighbours have about this gap."""
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


PROXY_SIZE = (340, 300)


def proxy_against_golden(content: ReportContent) -> list[str]:
    """Best-of-N by golden reward and by own score, over KL; a panel for each leading head."""
    frame = content.curves[content.curves["split"] == content.split]
    rows = {arm: _in_one_unit(rows_of(frame, arm, content.split)) for arm in ordered_arms(content)}
    shown = leading([arm for arm, found in rows.items() if len(found)])
    limits = _limits([rows[arm] for arm in shown])
    return [_panel(arm, rows[arm], f"proxy-{i}", limits) for i, arm in enumerate(shown)]


def _in_one_unit(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with golden rewards standardised over all responses of the split, as scores are over train.

    There are none if the golden reward has a single value.
    """
    deviation = rows["golden_deviation"].where(rows["golden_deviation"] > 0)
    golden = {name: (rows[name] - rows["golden_mean"]) / deviation for name in ("value", "low", "high")}
    return rows.assign(**golden).dropna(subset=["value", "proxy"]).sort_values("kl")


def _limits(found: list[pd.DataFrame]) -> tuple[float, float]:
    columns = ["value", "low", "high", "proxy", "proxy_low", "proxy_high"]
    values = np.concatenate([f[columns].to_numpy(dtype=float).ravel() for f in found] or [np.zeros(1)])
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    pad = 0.05 * (high - low) or 0.5
    return low - pad, high + pad


def _panel(arm: ShownArm, rows: pd.DataFrame, name: str, limits: tuple[float, float]) -> str:
    last = rows.iloc[-1]
    ends = f"by its own score {number(last['proxy'], 2)}, by the golden reward {number(last['value'], 2)}"
    alt = (
        f"Line chart of best-of-N by {arm.name} against KL, in standard deviations: "
        f"at N = {int(last['n'])} {ends}."
    )
    return draw(name, alt, PROXY_SIZE, partial(_paint_proxy, rows=rows, arm=arm, limits=limits))


def _paint_proxy(figure: Figure, rows: pd.DataFrame, arm: ShownArm, limits: tuple[float, float]) -> None:
    axes = figure.add_subplot()
    colour = COLOURS[arm.role]
    _line(axes, rows, ("proxy", "proxy_low", "proxy_high"), COLOURS["muted"], "--")
    _line(axes, rows, ("value", "low", "high"), colour, "-")
    axes.set(ylim=limits, xlabel="KL from the policy (nats)", ylabel="standard deviations")
    axes.grid(axis="y")
    axes.locator_params(axis="both", nbins=6)
    last = rows.iloc[-1]
    note = f"{number(last['proxy'], 2)} expected, {number(last['value'], 2)} golden"
    entitle(axes, arm.label(30), f"at N = {int(last['n'])}: {note}")


def _line(axes: Axes, rows: pd.DataFrame, columns: tuple[str, str, str], colour: str, dashes: str) -> None:
    value, low, high = (rows[column] for column in columns)
    axes.fill_between(rows["kl"], low, high, color=colour, alpha=0.15, linewidth=0)
    marker = "o" if len(rows) == 1 else ""
    axes.plot(rows["kl"], value, color=colour, linestyle=dashes, linewidth=1.8, marker=marker, markersize=5)


LOSS_SIZE = (460, 260)
_STYLES = (("muted", "-", ""), ("series-1", "-", "o"), ("series-2", "--", "s"))
_NAMES = {"train": "train: each step's demonstrations", "validation": "validation: held-out demonstrations"}


def sft_loss(log: pd.DataFrame) -> str:
    """Loss against optimiser step, on training and held-out demonstrations."""
    log = log.dropna(subset="loss").sort_values("step")
    splits = sorted(log["split"].unique(), key=lambda s: (s != "train", s))
    ends = [f"{s} {number(log.loc[log['split'] == s, 'loss'].iloc[-1])}" for s in splits]
    alt = f"Line chart of the fine-tuning loss against step; last values: {', '.join(ends)}."
    return draw("sft-loss", alt, LOSS_SIZE, partial(_paint_loss, log=log, splits=splits)) if splits else ""


def _paint_loss(figure: Figure, log: pd.DataFrame, splits: list[str]) -> None:
    axes = figure.add_subplot()
    for split, (role, dashes, marker) in zip(splits, _STYLES, strict=False):
        rows = log[log["split"] == split]
        look: dict[str, Any] = {
            "color": COLOURS[role],
            "linestyle": dashes,
            "linewidth": 1.6,
            "markersize": 4,
        }
        look |= {"marker": marker if len(rows) > 1 else "o", "label": _NAMES.get(split, shorten(split, 20))}
        axes.plot(rows["step"], rows["loss"], **look)
    axes.set(xlabel="optimiser step", ylabel="loss a completion token (nats)")
    axes.grid(axis="y")
    axes.legend(frameon=False, loc="best", labelcolor=COLOURS["ink"])
