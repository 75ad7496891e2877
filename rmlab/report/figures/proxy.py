"""What a head expects of its choice against what the golden reward gives it: over-optimisation."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rmlab.report.arms import Arm, leading, ordered_arms, rows_of
from rmlab.report.content import ReportContent
from rmlab.report.figures.svg import COLOURS, draw
from rmlab.report.wording import number

PROXY_SIZE = (340, 300)


def proxy_against_golden(content: ReportContent) -> list[str]:
    """One panel for each leading head: both best-of-N curves over KL, on scales that all share."""
    frame = content.curves[content.curves["split"] == content.split]
    rows = {arm: _in_one_unit(rows_of(frame, arm, content.split)) for arm in ordered_arms(content)}
    shown = leading([arm for arm, found in rows.items() if len(found)])
    limits = _limits([rows[arm] for arm in shown])
    return [_panel(arm, rows[arm], f"proxy-{i}", limits) for i, arm in enumerate(shown)]


def _in_one_unit(rows: pd.DataFrame) -> pd.DataFrame:
    """Golden rewards standardised over all responses of the split, as the head's scores are on train ones;
    nothing where the golden reward has a single value."""
    deviation = rows["golden_deviation"].where(rows["golden_deviation"] > 0)
    golden = {name: (rows[name] - rows["golden_mean"]) / deviation for name in ("value", "low", "high")}
    return rows.assign(**golden).dropna(subset=["value", "proxy"]).sort_values("kl")


def _limits(found: list[pd.DataFrame]) -> tuple[float, float]:
    columns = ["value", "low", "high", "proxy", "proxy_low", "proxy_high"]
    values = np.concatenate([f[columns].to_numpy(dtype=float).ravel() for f in found] or [np.zeros(1)])
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    pad = 0.05 * (high - low) or 0.5
    return low - pad, high + pad


def _panel(arm: Arm, rows: pd.DataFrame, name: str, limits: tuple[float, float]) -> str:
    last = rows.iloc[-1]
    ends = f"by its own score {number(last['proxy'], 2)}, by the golden reward {number(last['value'], 2)}"
    alt = (
        f"Line chart of best-of-N by {arm.name} against KL, in standard deviations: "
        f"at N = {int(last['n'])} {ends}."
    )
    return draw(name, alt, PROXY_SIZE, partial(_paint_proxy, rows=rows, arm=arm, limits=limits))


def _paint_proxy(figure: Figure, rows: pd.DataFrame, arm: Arm, limits: tuple[float, float]) -> None:
    axes = figure.add_subplot()
    colour = COLOURS[arm.role]
    _line(axes, rows, ("proxy", "proxy_low", "proxy_high"), COLOURS["muted"], "--")
    _line(axes, rows, ("value", "low", "high"), colour, "-")
    axes.set(ylim=limits, xlabel="KL from the policy (nats)", ylabel="standard deviations")
    axes.grid(axis="y")
    axes.locator_params(axis="both", nbins=6)
    axes.set_title(f"{arm.label(30)}\n")
    gap = f"at N = {int(rows['n'].iloc[-1])}: {number(rows['proxy'].iloc[-1], 2)} expected, "
    note = gap + f"{number(rows['value'].iloc[-1], 2)} golden"
    axes.text(0, 1.02, note, transform=axes.transAxes, color=COLOURS["muted"], fontsize=11)


def _line(axes: Axes, rows: pd.DataFrame, columns: tuple[str, str, str], colour: str, dashes: str) -> None:
    value, low, high = (rows[column] for column in columns)
    axes.fill_between(rows["kl"], low, high, color=colour, alpha=0.15, linewidth=0)
    marker = "o" if len(rows) == 1 else ""
    axes.plot(rows["kl"], value, color=colour, linestyle=dashes, linewidth=1.8, marker=marker, markersize=5)
