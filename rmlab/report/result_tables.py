"""The numbers of the page's tables, looked up in the result tables."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from rmlab.report.content import ReportContent
from rmlab.report.shown_arms import ShownArm

RANDOM = "random"


@dataclass(frozen=True)
class Estimate:
    """A value with its 95% interval; NaN where there is none."""

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan

    @property
    def reading(self) -> str:
        """What the interval says about the sign of a difference."""
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
    """A metric of an arm; of best_of_n the one at the largest N."""
    frame = content.metrics
    found = frame[(frame["arm"] == arm) & (frame["metric"] == name) & (frame["split"] == split)]
    return _estimate(found.sort_values("n"))


def difference(content: ReportContent, arm: str, other: str) -> Estimate:
    """Best-of-N of `arm` minus that of `other` on the reported split, paired by prompt."""
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
    """The chosen head against every other arm."""
    return [Difference(a, difference(content, content.chosen, a.name)) for a in arms if not a.is_chosen]


def largest_n(content: ReportContent, split: str | None = None) -> int:
    """The N that best-of-N figures in the tables refer to: of the reported split, or of another."""
    frame = content.metrics[content.metrics["metric"] == "best_of_n"]
    frame = frame if len(frame) else content.curves
    frame = frame[frame["split"] == (split or content.split)]
    return int(frame["n"].max()) if len(frame) else 0


def n_prompts(content: ReportContent) -> int:
    """Prompts of the reported split that best-of-N rests on."""
    frame = content.metrics[content.metrics["split"] == content.split]
    found = frame.loc[frame["metric"] == "best_of_n", "n_prompts"]
    return int(found.max()) if len(found) else 0


def response_rows(content: ReportContent) -> list[dict[str, object]]:
    """For each split: prompts, responses, mean tokens, share cut at the token limit."""
    rows: list[dict[str, object]] = []
    for split, group in content.responses.groupby("split", sort=True):
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
