"""How much the answers of each design can tell: the distribution of p(1-p)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from rmlab.report.arms import ordered_arms
from rmlab.report.content import ReportContent
from rmlab.report.designs import DesignRow, design_rows
from rmlab.report.figures.svg import COLOURS, draw
from rmlab.report.wording import count, listed, number, shorten

VARIANCES_SIZE = (340, 200)
COIN = 0.25  # the largest p(1-p)


@dataclass(frozen=True)
class _Panel:
    """Designs whose distributions are equal."""

    rows: list[DesignRow]

    @property
    def title(self) -> str:
        letters = list(dict.fromkeys(row.letter for row in self.rows))
        return f"{listed(letters)}, mean {number(self.rows[0].variance)}"

    @property
    def words(self) -> str:
        return "; ".join(dict.fromkeys(row.words for row in self.rows))

    @property
    def note(self) -> str:
        more = len({row.letter for row in self.rows}) - 1
        return shorten(self.rows[0].words, 38 if more else 52) + (f" and {more} more" if more else "")


def label_variances(content: ReportContent) -> list[str]:
    """One panel for each distinct distribution, in the order of the table of designs."""
    groups: dict[tuple[int, ...], list[DesignRow]] = {}
    for row in design_rows(content, ordered_arms(content)):
        groups.setdefault(row.counts, []).append(row)
    panels = [_Panel(rows) for counts, rows in groups.items() if sum(counts)]
    return [draw(f"variance-{i}", _alt(p), VARIANCES_SIZE, partial(_paint, panel=p)) for i, p in enumerate(panels)]


def _alt(panel: _Panel) -> str:
    names = listed([row.arm.name for row in panel.rows])
    return f"Histogram of p(1 - p) of design {panel.title} ({panel.words}), the comparisons of {names}."


def _paint(figure: Figure, panel: _Panel) -> None:
    axes = figure.add_subplot()
    bins = panel.rows[0].bins
    edges = np.append(bins["low"], bins["high"].iloc[-1])
    share = bins["count"].to_numpy() / bins["count"].sum()
    is_chosen = any(row.arm.is_chosen for row in panel.rows)
    colour = COLOURS["series-1" if is_chosen else "muted"]
    axes.stairs(share, edges, fill=True, color=colour, alpha=0.45)
    axes.axvline(panel.rows[0].variance, color=colour, linewidth=1.2, linestyle="--")
    axes.set(xlim=(-0.005, COIN + 0.005), xlabel="p(1 − p)", ylabel="share")
    axes.set_xticks(np.linspace(0, COIN, 6), [count(x) for x in np.linspace(0, COIN, 6).round(2)])
    axes.locator_params(axis="y", nbins=4)
    axes.set_title(f"{panel.title}\n")
    note = axes.text(0, 1.02, panel.note, transform=axes.transAxes, color=COLOURS["muted"], fontsize=11)
    note.set_in_layout(False)  # else a long one narrows the axes
