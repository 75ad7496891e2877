"""The arms of a report in the order and the style in which every table and figure shows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from rmlab.report.content import ReportContent
from rmlab.report.wording import shorten_name

N_COLOURS = 6
N_PANELS = N_COLOURS  # the most heads that have a panel or a named curve of their own
MARKERS = "osD^vP"  # of matplotlib
# Lengths of dash, gap, dash, …; an empty tuple is a solid line.
_HEAD_DASHES: tuple[tuple[int, ...], ...] = ((), (5, 2), (6, 2, 1, 2), (2, 2))
_CONTROL_DASHES: tuple[tuple[int, ...], ...] = ((5, 2), (1, 2), (6, 2, 1, 2), (10, 3), (4, 2, 1, 2, 1, 2))
# The meaning of the controls of eval_rm, for captions.
CONTROLS = {
    "random": "picks any response",
    "oracle": "picks by the golden reward itself",
    "length": "picks by the number of words, in whichever direction pays on train prompts",
    "copying": "picks by the share of words repeated from the prompt, the direction chosen as for length",
    "golden_regression": "is a linear fit to the golden scores, about what a linear head could reach",
}


@dataclass(frozen=True)
class ShownArm:
    """A head or a control with its style. role: its colour, a CSS variable of the page."""

    name: str
    is_head: bool
    is_chosen: bool
    role: str
    marker: str
    dashes: tuple[int, ...]

    @property
    def linestyle(self) -> Any:
        """The dashes as an argument of matplotlib."""
        return (0, self.dashes) if self.dashes else "-"

    def label(self, length: int) -> str:
        """The name as figures write it, in at most `length` characters."""
        return shorten_name(self.name, length)

    @property
    def meaning(self) -> str:
        """The meaning of a known control in words; empty for a head."""
        return "" if self.is_head else CONTROLS.get(self.name, "")


def ordered_arms(content: ReportContent) -> list[ShownArm]:
    """All heads, then all controls, each sorted by best-of-N on validation prompts, best first.

    Without validation prompts, the reported split decides. The chosen head always has the first colour.
    """
    kinds = content.metrics.drop_duplicates("arm").set_index("arm")["kind"].to_dict()
    key = _sort_key(content)
    names = sorted(kinds, key=lambda name: (kinds[name] != "head", -key.get(name, float("-inf")), name))
    heads = [n for n in names if kinds[n] == "head"]
    coloured = sorted(heads, key=lambda name: name != content.chosen)
    return [_head(n, coloured.index(n), n == content.chosen) for n in heads] + [
        control(n, i) for i, n in enumerate(n for n in names if kinds[n] != "head")
    ]


def leading(arms: list[ShownArm]) -> list[ShownArm]:
    """The heads that have a panel of their own: the chosen head, then the best of the others."""
    return sorted((a for a in arms if a.is_head), key=lambda a: not a.is_chosen)[:N_PANELS]


def _sort_key(content: ReportContent) -> dict[str, float]:
    frame = content.metrics[content.metrics["metric"] == "best_of_n"]
    splits = set(frame["split"])
    frame = frame[frame["split"] == ("validation" if "validation" in splits else content.split)]
    return frame.dropna(subset="value").sort_values("n").groupby("arm")["value"].last().to_dict()


def _head(name: str, index: int, is_chosen: bool) -> ShownArm:
    dashes = _HEAD_DASHES[index // N_COLOURS % len(_HEAD_DASHES)]
    # If there are more heads than colours, heads of one colour differ in dashes and marker.
    marker = MARKERS[(index + index // N_COLOURS) % len(MARKERS)]
    return ShownArm(name, True, is_chosen, f"series-{index % N_COLOURS + 1}", marker, dashes)


def control(name: str, index: int = 0) -> ShownArm:
    """A control, with the dashes of its place among the controls."""
    return ShownArm(name, False, False, "quiet", "", _CONTROL_DASHES[index % len(_CONTROL_DASHES)])


def rows_of(frame: pd.DataFrame, arm: ShownArm, split: str) -> pd.DataFrame:
    """The rows of one arm on one split."""
    return frame[(frame["arm"] == arm.name) & (frame["split"] == split)]
