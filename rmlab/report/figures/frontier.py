"""Figures of the frontier: golden reward over KL, and what a reward promised beside what it gave."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rmlab.report.figures.svg import COLOURS, draw, entitle
from rmlab.report.wording import number, shorten, shorten_name

if TYPE_CHECKING:
    from rmlab.report.frontier import FrontierContent, Shown

WIDE, NARROW, PANEL = (1040, 500), (380, 400), (340, 310)
_BANDS = 3  # heads whose bands can be told apart on one plane
_LOOKS = {
    "tilt": ("", 1.9),
    "soft_best_of_n": ("d", 1.2),
    "best_of_n": ("o", 1.4),
}  # marker, width of the line


def plane(content: FrontierContent, wide: bool = True) -> str:
    """The tilts by every reward on one plane."""
    name = "plane-wide" if wide else "plane-narrow"
    ends = []
    for shown in content.shown:
        last = shown.curve("tilt")
        last = last[last["is_trusted"]]
        if len(last):
            end = last.iloc[-1]
            ends.append(f"{shown.name} {number(end['golden'])} at KL {number(end['kl'], 2)}")
    alt = (
        f"Line chart of the {content.golden} reward over KL for tilts by each reward. At the last trusted "
        "point: " + "; ".join(ends) + "."
    )
    return draw(name, alt, WIDE if wide else NARROW, partial(_paint_plane, content=content, wide=wide))


def _paint_plane(figure: Figure, content: FrontierContent, wide: bool) -> None:
    axes = figure.add_subplot()
    for shown in reversed(content.shown):
        curve = shown.curve("tilt")
        if not len(curve):
            continue
        colour = COLOURS[shown.role]
        if shown.is_rest:
            axes.plot(curve["kl"], curve["golden"], color=colour, linewidth=0.7, alpha=0.6)
            continue
        if has_band(content, shown):
            _band(axes, curve, "golden", colour)
        if shown is content.ceiling:
            _dots(axes, shown.curve("tilt", is_half=True))
        _broken(axes, curve, "golden", colour, 1.8 if shown.is_head else 2.2, shown.marker)
        label = _label(shorten_name(shown.name, 34 if wide else 26), shown, content)
        axes.plot([], [], color=colour, marker=shown.marker, markersize=5, label=label)
    _finish(axes, content, f"mean {shorten(content.golden, 30)}")
    handles, labels = axes.get_legend_handles_labels()
    legend = partial(figure.legend, handles[::-1], labels[::-1], frameon=False, fontsize=11)
    if wide:
        legend(loc="outside right upper")
    else:
        legend(loc="outside lower center")


def has_band(content: FrontierContent, shown: Shown) -> bool:
    """True if its interval is drawn on the plane; the bands of many heads would hide one another."""
    return shown is content.ceiling or len(content.shown) <= _BANDS + 1


def _label(name: str, shown: Shown, content: FrontierContent) -> str:
    if shown.is_head:
        return name
    return f"{name}, golden: the ceiling" if shown.name == content.golden else f"{name}, golden"


def methods_of(content: FrontierContent, shown: Shown, place: int) -> str:
    """The three methods of one reward, under the golden tilt, with the tilt at half of the samples."""
    alt = (
        f"Line chart of the {content.golden} reward over KL for tilt, best-of-N and soft best-of-N by "
        f"{shown.name}."
    )
    return draw(f"methods-{place}", alt, PANEL, partial(_paint_methods, content=content, shown=shown))


def _paint_methods(figure: Figure, content: FrontierContent, shown: Shown) -> None:
    axes, colour = figure.add_subplot(), COLOURS[shown.role]
    ceiling = content.ceiling.curve("tilt")
    if shown is not content.ceiling:
        _broken(axes, ceiling, "golden", COLOURS["fill"], 1.6, "")
    _dots(axes, shown.curve("tilt", is_half=True))
    for method, (marker, width) in _LOOKS.items():
        curve = shown.curve(method)
        if method == "tilt":
            _band(axes, curve, "golden", colour)
        if len(curve):
            _broken(axes, curve, "golden", colour, width, marker)
    _finish(axes, content, f"mean {shorten(content.golden, 24)}")
    _fit(axes, [s.rows for s in content.shown], "golden")
    entitle(axes, shorten_name(shown.name, 34), f"gamma of the tilt: {shown.gamma('tilt')}")


def promise_of(content: FrontierContent, shown: Shown, place: int) -> str:
    """The gain that a reward promises along its tilt, and the golden gain that it gives, in deviations."""
    curve = shown.curve("tilt").dropna(subset="golden_gain")
    alt = f"Line chart over KL of the gain that {shown.name} promises and the golden gain, in deviations."
    if len(curve):
        own, golden = (number(curve[name].iloc[-1], 2) for name in ("proxy_gain", "golden_gain"))
        alt += f" At the end: {own} promised, {golden} golden."
    return draw(
        f"promise-{place}", alt, PANEL, partial(_paint_promise, content=content, shown=shown, curve=curve)
    )


def _paint_promise(figure: Figure, content: FrontierContent, shown: Shown, curve: pd.DataFrame) -> None:
    axes, colour = figure.add_subplot(), COLOURS[shown.role]
    for name, tint, marker in (("proxy_gain", COLOURS["muted"], "^"), ("golden_gain", colour, "o")):
        _band(axes, curve, name, tint)
        _broken(axes, curve, name, tint, 1.8, marker)
    if len(curve):
        last = curve.iloc[-1]
        for name, said in (("proxy_gain", "promised"), ("golden_gain", "golden")):
            axes.annotate(
                said, (last["kl"], last[name]), (-6, 7), textcoords="offset points", ha="right",
                color=COLOURS["muted"] if name == "proxy_gain" else colour, fontsize=11,
            )  # fmt: skip
    _finish(axes, content, "gain in deviations")
    _fit(axes, [s.rows for s in content.heads or content.shown], "proxy_gain", "golden_gain")
    entitle(axes, shorten_name(shown.name, 34), "along its tilt")


def _broken(axes: Axes, curve: pd.DataFrame, name: str, colour: str, width: float, marker: str) -> None:
    """A line that is solid up to the last point that enough samples carry, and dashed beyond it."""
    x, y = curve["kl"].to_numpy(), curve[name].to_numpy()
    trusted = curve["is_trusted"].to_numpy()
    n = int(np.argmin(trusted)) if not trusted.all() else len(trusted)
    style: dict[str, Any] = {"color": colour, "linewidth": width}
    axes.plot(x[:n], y[:n], marker=marker, markersize=4.5, **style)
    if n < len(x):
        start = max(n - 1, 0)
        axes.plot(x[start:], y[start:], linestyle=(0, (3, 2)), alpha=0.75, **style)
        axes.plot(x[n:], y[n:], linestyle="", marker=marker, markersize=4.5, markerfacecolor="none", **style)


def _dots(axes: Axes, curve: pd.DataFrame) -> None:
    """A dotted line, for half of the samples."""
    axes.plot(curve["kl"], curve["golden"], color=COLOURS["ink"], linewidth=1.3, linestyle=(0, (1, 1.6)))


def _band(axes: Axes, curve: pd.DataFrame, name: str, colour: str) -> None:
    axes.fill_between(
        curve["kl"], curve[f"{name}_low"], curve[f"{name}_high"], color=colour, alpha=0.13, linewidth=0
    )


def _finish(axes: Axes, content: FrontierContent, y: str) -> None:
    note = "" if content.reference == "exact" else f"{content.reference} "
    axes.set(xlabel=f"KL from the {note}reference (nats)", ylabel=y)
    axes.set_xlim(left=0)
    axes.grid(axis="y")
    axes.locator_params(axis="both", nbins=7)


def _fit(axes: Axes, frames: list[pd.DataFrame], *names: str) -> None:
    """Gives all panels of a figure the same scales, wide enough for all points of these rewards."""
    rows = pd.concat(frames)
    rows = rows[~rows["is_half"]]
    ends = rows[[f"{name}_{end}" for name in names for end in ("low", "high")]].to_numpy(dtype=float)
    if np.isfinite(ends).any():
        low, high = float(np.nanmin(ends)), float(np.nanmax(ends))
        pad = 0.04 * (high - low) or 0.5
        axes.set_ylim(low - pad, high + pad)
    axes.set_xlim(0, 1.04 * float(rows["kl"].max()) or 1.0)
