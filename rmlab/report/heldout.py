"""The held-out pairs in the report: accuracy of each arm, agreement of arms, and the most disputed pairs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from rmlab.report.content import HeldOutFrames, ReportContent
from rmlab.report.examples import NO_TEXT, messages_of
from rmlab.report.result_tables import Estimate
from rmlab.report.shown_arms import ShownArm, control, ordered_arms

CV, TEST = "cv", "test"


@dataclass(frozen=True)
class HeldOutRow:
    """The accuracies of an arm by cross-validation and on the test split.

    over, test_over: their differences from the baseline, on the same pairs.
    """

    arm: ShownArm
    cv: Estimate
    over: Estimate
    ece: float
    n_equal: int
    test: Estimate
    test_over: Estimate


@dataclass(frozen=True)
class Extent:
    """Numbers of pairs, ties and prompt groups of cross-validation or the test split."""

    n_pairs: int
    n_ties: int
    n_groups: int


@dataclass(frozen=True)
class Agreement:
    """The agreement of an arm with each arm. cells: (share in percent, kappa), NaN for the arm itself."""

    arm: ShownArm
    cells: list[tuple[float, float]]


def heldout_rows(content: ReportContent) -> list[HeldOutRow]:
    """The rows of heads, then those of controls, each by accuracy in cross-validation, best first."""
    if content.heldout is None:
        return []
    frame = content.heldout.accuracy
    by_split = {split: frame[frame["split"] == split].set_index("arm") for split in (CV, TEST)}
    order = by_split[CV].reset_index().sort_values(["kind", "value", "arm"], ascending=[False, False, True])
    known = {arm.name: arm for arm in ordered_arms(content)}
    return [_row(known.get(name) or control(name), by_split) for name in order["arm"]]


def _row(arm: ShownArm, by_split: dict[str, pd.DataFrame]) -> HeldOutRow:
    cv, test = by_split[CV].loc[arm.name], by_split[TEST].loc[arm.name]
    return HeldOutRow(
        arm=arm,
        cv=_estimate(cv, "value", "low", "high"),
        over=_estimate(cv, "over", "over_low", "over_high"),
        ece=float(cv["ece"]),
        n_equal=int(cv["n_equal"]),
        test=_estimate(test, "value", "low", "high"),
        test_over=_estimate(test, "over", "over_low", "over_high"),
    )


def _estimate(row: pd.Series, *names: str) -> Estimate:
    return Estimate(*(float(row[name]) for name in names))


def extents(content: ReportContent) -> dict[str, Extent]:
    """The extent of each split, by its name."""
    if content.heldout is None:
        return {}
    first = content.heldout.accuracy.drop_duplicates("split")
    columns = first[["split", "n_pairs", "n_ties", "n_groups"]]
    return {split: Extent(*map(int, counts)) for split, *counts in columns.itertuples(index=False)}


def agreements(content: ReportContent, rows: list[HeldOutRow]) -> list[Agreement]:
    """Agreement in cross-validation between all arms that give probabilities (length does not)."""
    if content.heldout is None:
        return []
    frame = content.heldout.agreement
    frame = frame[frame["split"] == CV]
    found: dict[tuple[str, str], tuple[float, float]] = {}
    for row in frame.itertuples():
        found[row.arm, row.other] = found[row.other, row.arm] = (100 * row.share, row.kappa)
    names = [r.arm for r in rows if math.isfinite(r.ece)]
    missing = (math.nan, math.nan)
    return [Agreement(a, [found.get((a.name, b.name), missing) for b in names]) for a in names]


def judged_pairs(frames: HeldOutFrames) -> pd.DataFrame:
    """A row for each pair of cross-validation, with a column a head: its probability of the preference."""
    pairs = frames.pairs
    pairs = pairs[(pairs["split"] == CV) & (pairs["kind"] == "head")]
    keys = ["prompt_id", "group", "preferred", "other"]
    return pairs.pivot(index=keys, columns="arm", values="probability").reset_index()


N_PAIRS = 6


@dataclass(frozen=True)
class Disputed:
    """A pair that the heads dispute.

    by_head: the probability that each head gives to the preferred answer; probability: their mean.
    """

    prompt_id: str
    messages: list[tuple[str, str]]  # (role, content)
    preferred: str
    other: str
    probability: float
    by_head: list[tuple[ShownArm, float]]


def pick_disputed(content: ReportContent, rows: list[HeldOutRow], n: int = N_PAIRS) -> list[Disputed]:
    """The pairs, one a group, to whose preferred answer the heads give the smallest mean probability.

    Only pairs with a mean below 0.5 are taken, since on others the heads agree with the annotators. Ties are
    broken by the ids, so that the choice is always the same.
    """
    if content.heldout is None:
        return []
    pairs = judged_pairs(content.heldout)
    heads = [r.arm for r in rows if r.arm.is_head and r.arm.name in pairs.columns]
    pairs["mean"] = pairs[[h.name for h in heads]].mean(axis=1).round(9)
    lost = pairs[pairs["mean"] < 0.5]
    worst = lost.sort_values(["mean", "preferred", "other"]).drop_duplicates("group").head(n)
    prompts = content.prompts.set_index("prompt_id")["messages"]
    texts = content.texts([*worst["preferred"], *worst["other"]])["text"]
    return [_disputed(row, heads, prompts, texts) for row in worst.to_dict("records")]


def _disputed(row: dict[Any, Any], heads: list[ShownArm], prompts: pd.Series, texts: pd.Series) -> Disputed:
    return Disputed(
        prompt_id=str(row["prompt_id"]),
        messages=messages_of(prompts.get(row["prompt_id"])),
        preferred=str(texts.get(row["preferred"], NO_TEXT)),
        other=str(texts.get(row["other"], NO_TEXT)),
        probability=float(row["mean"]),
        by_head=[(head, float(row[head.name])) for head in heads],
    )
