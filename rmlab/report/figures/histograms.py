"""Where the golden reward and the heads' scores lie."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from rmlab.report.arms import Arm, leading, ordered_arms, rows_of
from rmlab.report.content import ReportContent
from rmlab.report.figures.svg import COLOURS, draw
from rmlab.report.wording import number, shorten

HISTOGRAMS_SIZE = (340, 250)
_BINS = 40


def golden_histograms(content: ReportContent) -> list[str]:
    """For each split: the golden reward of all responses, and of those the chosen head ranks first."""
    return [svg for split in _splits(content) if (svg := _golden_panel(content, split))]


def _splits(content: ReportContent) -> list[str]:
    """Validation before test: the order in which they are used."""
    return sorted(content.head_scores["split"].unique(), key=lambda s: (s == content.split, s))


def _golden_panel(content: ReportContent, split: str) -> str:
    frame = content.head_scores
    frame = frame[(frame["arm"] == content.chosen) & (frame["split"] == split)]
    frame = frame.dropna(subset=["score", "golden"])
    if not len(frame):
        return ""
    first = frame.sort_values(["score", "response_id"], ascending=[False, True])
    picked = first.drop_duplicates("prompt_id")["golden"].to_numpy()
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
    edges = np.histogram_bin_edges(every, bins=_BINS)
    for values, role, fill in ((every, "muted", True), (picked, "series-1", False)):
        share = np.histogram(values, edges)[0] / len(values)
        colour = COLOURS["fill"] if fill else COLOURS[role]
        axes.stairs(share, edges, fill=fill, color=colour, linewidth=1.8)
        axes.axvline(values.mean(), color=COLOURS[role], linewidth=1.2, linestyle="--" if fill else "-")
    axes.set_title(f"{split}\n", linespacing=2.0)
    axes.text(0, 1.10, labels[0], transform=axes.transAxes, color=COLOURS["muted"], fontsize=11)
    axes.text(0, 1.02, labels[1], transform=axes.transAxes, color=COLOURS["series-1"], fontsize=11)
    axes.set_xlabel(shorten(reward, 40))
    axes.set_ylabel("share")
    axes.locator_params(axis="y", nbins=4)


def score_histograms(content: ReportContent) -> list[str]:
    """For each leading head: its scores, with the golden reward standardised over the same responses."""
    scores = content.head_scores.dropna(subset=["score", "golden"])
    rows = {arm: rows_of(scores, arm, content.split) for arm in ordered_arms(content)}
    arms = leading([arm for arm, found in rows.items() if len(found)])
    return [_score_panel(content, arm, rows[arm], f"scores-{i}") for i, arm in enumerate(arms)]


def _score_panel(content: ReportContent, arm: Arm, frame: pd.DataFrame, name: str) -> str:
    score, golden = frame["score"].to_numpy(), frame["golden"].to_numpy()
    golden = (golden - golden.mean()) / (golden.std() or 1.0)
    summary = f"mean {number(score.mean(), 2)}, deviation {number(score.std(), 2)}"
    alt = f"Histogram of the scores of {arm.name} on {content.split} responses: {summary}."
    return draw(name, alt, HISTOGRAMS_SIZE, partial(_paint_score, score=score, golden=golden, arm=arm, summary=summary))


def _paint_score(figure: Figure, score: np.ndarray, golden: np.ndarray, arm: Arm, summary: str) -> None:
    axes = figure.add_subplot()
    both = np.concatenate([score, golden])
    low, high = np.quantile(both, [0.001, 0.999])
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    for values, colour, fill in ((score, COLOURS[arm.role], True), (golden, COLOURS["ink"], False)):
        # The outermost bars hold what lies beyond: nothing is dropped, and outliers do not set the scale.
        share = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] / len(values)
        axes.stairs(share, edges, fill=fill, color=colour, alpha=0.45 if fill else 1, linewidth=1.1)
    axes.set_title(arm.label(34) + "\n")
    axes.text(0, 1.02, summary, transform=axes.transAxes, color=COLOURS["muted"], fontsize=11)
    axes.set_xlabel("score")
    axes.set_ylabel("share")
    axes.locator_params(axis="y", nbins=4)
