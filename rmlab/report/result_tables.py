"""The rows of the page's tables, from the result tables."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from rmlab.report.content import ReportContent
from rmlab.report.shown_arms import ShownArm

RANDOM = "random"


@dataclass(frozen=True)
class Estimate:
    """A value with its 95% interval; NaN if there is none."""

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan

    @property
    def reading(self) -> str:
        """The sign of a difference, in words, as far as the interval tells it."""
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            return "no interval"
        if self.low > 0:
            return "higher"
        return "lower" if self.high < 0 else "undecided"


@dataclass(frozen=True)
class HeadRow:
    arm: ShownArm
    validation: Estimate
    best: Estimate
    gain: Estimate
    others: dict[str, Estimate]  # in the order of OTHER_METRICS


@dataclass(frozen=True)
class Difference:
    arm: ShownArm
    estimate: Estimate


OTHER_METRICS = ("selected_quantile", "spearman", "kendall", "accuracy", "ece_annotators", "length_spearman")


def metric(content: ReportContent, arm: str, name: str, split: str) -> Estimate:
    """A metric of an arm on a split, at the largest N if it has several."""
    frame = content.metrics
    found = frame[(frame["arm"] == arm) & (frame["metric"] == name) & (frame["split"] == split)]
    return _estimate(found.sort_values("n"))


def difference(content: ReportContent, arm: str, other: str) -> Estimate:
    """The difference of best-of-N, `arm` minus `other`, on the reported split, paired by prompt."""
    if arm == other:
        return Estimate()
    frame = content.paired
    frame = frame[(frame["split"] == content.split) & (frame["metric"] == "best_of_n")].sort_values("n")
    there = frame[(frame["arm"] == arm) & (frame["other"] == other)]
    if len(there):
        return _estimate(there)
    back = _estimate(frame[(frame["arm"] == other) & (frame["other"] == arm)])
    return Estimate(-back.value, -back.high, -back.low)


def head_rows(content: ReportContent, arms: list[ShownArm]) -> list[HeadRow]:
    return [
        HeadRow(
            arm,
            metric(content, arm.name, "best_of_n", "validation"),
            metric(content, arm.name, "best_of_n", content.split),
            difference(content, arm.name, RANDOM),
            {name: metric(content, arm.name, name, content.split) for name in OTHER_METRICS},
        )
        for arm in arms
    ]


def differences(content: ReportContent, arms: list[ShownArm]) -> list[Difference]:
    """The differences of the chosen head from every other arm."""
    return [Difference(a, difference(content, content.chosen, a.name)) for a in arms if not a.is_chosen]


def largest_n(content: ReportContent, split: str | None = None) -> int:
    """The largest N of best-of-N, which the tables show, on a split (by default the reported one)."""
    frame = content.metrics[content.metrics["metric"] == "best_of_n"]
    frame = frame if len(frame) else content.curves
    frame = frame[frame["split"] == (split or content.split)]
    return int(frame["n"].max()) if len(frame) else 0


def n_prompts(content: ReportContent) -> int:
    """Number of prompts of the reported split on which best-of-N is defined."""
    frame = content.metrics[content.metrics["split"] == content.split]
    found = frame.loc[frame["metric"] == "best_of_n", "n_prompts"]
    return int(found.max()) if len(found) else 0


def response_rows(content: ReportContent) -> list[dict[str, object]]:
    """Prompts, responses, mean tokens and percentage cut at the token limit, a row for each split."""
    rows: list[dict[str, object]] = []
    for split, group in content.responses.groupby("split", sort=True, observed=True):
        tokens = group.loc[group["n_tokens"] >= 0, "n_tokens"]
        rows.append(
            {
                "split": split,
                "prompts": int(group["prompt_id"].nunique()),
                "responses": len(group),
                "tokens": float(tokens.mean()) if len(tokens) else math.nan,
                "cut": 100 * float((group["finish_reason"] == "length").mean()),
            }
        )
    return rows


def _estimate(found: pd.DataFrame) -> Estimate:
    if not len(found):
        return Estimate()
    row = found.iloc[-1]
    return Estimate(float(row["value"]), float(row["low"]), float(row["high"]))
