"""The held-out pairs on which heads and annotators differ most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from rmlab.report.arms import Arm
from rmlab.report.content import ReportContent
from rmlab.report.heldout import HeldOutRow, judged_pairs

N_PAIRS = 6
_NO_TEXT = "(this text is not in the responses table)"


@dataclass(frozen=True)
class Disputed:
    """probability: mean of the heads' for the preferred answer; by_head: each head's own."""

    prompt_id: str
    messages: list[tuple[str, str]]  # (role, content)
    preferred: str
    other: str
    probability: float
    by_head: list[tuple[Arm, float]]


def pick_disputed(content: ReportContent, rows: list[HeldOutRow], n: int = N_PAIRS) -> list[Disputed]:
    """The pairs whose preferred answer the heads, on average, find least likely to be: one of each group.

    Never one on which they, on average, agree with the annotators. Equal ones stand in the order of their
    ids, so that the choice is the same every time.
    """
    if content.heldout is None:
        return []
    pairs = judged_pairs(content.heldout)
    heads = [r.arm for r in rows if r.arm.is_head and r.arm.name in pairs.columns]
    pairs["mean"] = pairs[[h.name for h in heads]].mean(axis=1).round(9)
    lost = pairs[pairs["mean"] < 0.5]
    worst = lost.sort_values(["mean", "preferred", "other"]).drop_duplicates("group").head(n)
    prompts = content.prompts.set_index("prompt_id")["messages"]
    texts = content.responses.drop_duplicates("response_id").set_index("response_id")["text"]
    return [_disputed(row, heads, prompts, texts) for row in worst.to_dict("records")]


def _disputed(row: dict[Any, Any], heads: list[Arm], prompts: pd.Series, texts: pd.Series) -> Disputed:
    messages = prompts.get(row["prompt_id"])
    return Disputed(
        prompt_id=str(row["prompt_id"]),
        messages=[] if messages is None else [(str(m["role"]), str(m["content"])) for m in messages],
        preferred=str(texts.get(row["preferred"], _NO_TEXT)),
        other=str(texts.get(row["other"], _NO_TEXT)),
        probability=float(row["mean"]),
        by_head=[(head, float(row[head.name])) for head in heads],
    )
