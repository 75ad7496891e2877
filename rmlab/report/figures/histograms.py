"""Histograms: golden rewards, scores of heads, and the information p(1-p) of annotators' answers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rmlab.report.comparison_designs import DesignRow, design_rows
from rmlab.report.content import ReportContent
from rmlab.report.figures.svg import COLOURS, draw, entitle
from rmlab.report.shown_arms import ShownArm, leading, ordered_arms, rows_of
from rmlab.report.wording import count, listed, number, shorten

HISTOGRAMS_SIZE = (340, 250)
_BINS = 40


def golden_histograms(content: ReportContent) -> list[str]:
    """Golden rewards of all responses, and of those the chosen head ranks first; a panel for each split."""
    return [svg for split in _splits(content) if (svg := _golden_panel(content, split))]


def _splits(content: ReportContent) -> list[str]:
    """The splits in the order in which they are used: validation, then test."""
    return sorted(content.head_scores["split"].unique(), key=lambda s: (s == content.split, s))


def _golden_panel(content: ReportContent, split: str) -> str:
    frame = content.scores_of_chosen(split)
    if not len(frame):
        return ""
    highest = frame[frame["score"] == frame.groupby("prompt_id")["score"].transform("max")]
    picked = highest.sort_values("response_id").drop_duplicates("prompt_id")["golden"].to_numpy()
    every = frame["golden"].to_numpy()
    labels = (f"all responses, mean {number(every.mean())}", f"ranked first, mean {number(picked.mean())}")
    paint = partial(
        _paint_golden, every=every, picked=picked, split=split, labels=labels, reward=content.reward
    )
    alt = f"Histogram of {content.reward} on {split} prompts: {labels[0]}; {labels[1]} by {content.chosen}."
    return draw(f"golden-{_splits(content).index(split)}", alt, HISTOGRAMS_SIZE, paint)


def _paint_golden(
    figure: Figure, *, every: np.ndarray, picked: np.ndarray, split: str, labels: tuple[str, str], reward: str
) -> None:
    axes = figure.add_subplot()
    edges = _edges(every.min(), every.max())
    for values, role, fill in ((every, "muted", True), (picked, "series-1", False)):
        share = np.histogram(values, edges)[0] / len(values)
        colour = COLOURS["fill"] if fill else COLOURS[role]
        axes.stairs(share, edges, fill=fill, color=colour, linewidth=1.8)
        axes.axvline(values.mean(), color=COLOURS[role], linewidth=1.2, linestyle="--" if fill else "-")
    axes.set_title(f"{split}\n", linespacing=2.0)
    axes.text(0, 1.10, labels[0], transform=axes.transAxes, color=COLOURS["muted"], fontsize=11)
    axes.text(0, 1.02, labels[1], transform=axes.transAxes, color=COLOURS["series-1"], fontsize=11)
    _label(axes, shorten(reward, 40))


def _label(axes: Axes, x: str) -> None:
    """Labels the axes of a histogram of shares."""
    axes.set(xlabel=x, ylabel="share")
    axes.locator_params(axis="y", nbins=4)


def _edges(low: float, high: float) -> np.ndarray:
    """Edges of equal bins; they reach beyond the values where floats of their size lie too far apart."""
    apart = _BINS * float(np.spacing(max(abs(low), abs(high))))
    if high - low < apart:
        low, high = low - max(0.5, apart), high + max(0.5, apart)
    return np.linspace(low, high, _BINS + 1)


def score_histograms(content: ReportContent) -> list[str]:
    """Scores, and standardised golden rewards of the same responses; a panel for each leading head."""
    scores = content.head_scores.dropna(subset=["score", "golden"])
    rows = {arm: rows_of(scores, arm, content.split) for arm in ordered_arms(content)}
    arms = leading([arm for arm, found in rows.items() if len(found)])
    return [_score_panel(content, arm, rows[arm], f"scores-{i}") for i, arm in enumerate(arms)]


def _score_panel(content: ReportContent, arm: ShownArm, frame: pd.DataFrame, name: str) -> str:
    score, golden = frame["score"].to_numpy(), frame["golden"].to_numpy()
    golden = (golden - golden.mean()) / (golden.std() or 1.0)
    summary = f"mean {number(score.mean(), 2)}, deviation {number(score.std(), 2)}"
    alt = f"Histogram of the scores of {arm.name} on {content.split} responses: {summary}."
    return draw(
        name,
        alt,
        HISTOGRAMS_SIZE,
        partial(_paint_score, score=score, golden=golden, arm=arm, summary=summary),
    )


def _paint_score(figure: Figure, score: np.ndarray, golden: np.ndarray, arm: ShownArm, summary: str) -> None:
    axes = figure.add_subplot()
    both = np.concatenate([score, golden])
    low, high = np.quantile(both, [0.001, 0.999])
    edges = _edges(low, high)
    for values, colour, fill in ((score, COLOURS[arm.role], True), (golden, COLOURS["ink"], False)):
        # Values beyond the scale count in the outermost bars, so outliers neither vanish nor set the scale.
        share = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] / len(values)
        axes.stairs(share, edges, fill=fill, color=colour, alpha=0.45 if fill else 1, linewidth=1.1)
    entitle(axes, arm.label(34), summary)
    _label(axes, "score")


VARIANCES_SIZE = (340, 200)
_LARGEST = 0.25  # the largest p(1-p), that of a coin


@dataclass(frozen=True)
class _Panel:
    """The panel of designs whose distributions of p(1-p) are equal."""

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
    """Distributions of p(1-p): a panel for each distinct one, in the order of the table of designs."""
    groups: dict[tuple[int, ...], list[DesignRow]] = {}
    for row in design_rows(content, ordered_arms(content)):
        groups.setdefault(row.counts, []).append(row)
    panels = [_Panel(rows) for counts, rows in groups.items() if sum(counts)]
    return [
        draw(f"variance-{i}", _alt(p), VARIANCES_SIZE, partial(_paint, panel=p)) for i, p in enumerate(panels)
    ]


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
    axes.set(xlim=(-0.005, _LARGEST + 0.005))
    ticks = np.linspace(0, _LARGEST, 6)
    axes.set_xticks(ticks, [count(tick) for tick in ticks.round(2)])
    _label(axes, "p(1 − p)")
    entitle(axes, panel.title, panel.note).set_in_layout(False)  # otherwise a long note narrows the axes
