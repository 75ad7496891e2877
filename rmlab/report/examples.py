"""Example prompts: where the chosen head and the golden reward agree most, and where least."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from rmlab.report.content import ReportContent

N_EXAMPLES = 6
_COLUMNS = ["text", "n_tokens", "finish_reason"]
NO_TEXT = "(this text is not in the responses table)"


@dataclass(frozen=True)
class ShownAnswer:
    """A response of an example. tags: the reasons to show it, such as `best by head`."""

    tags: list[str]
    text: str
    score: float
    golden: float
    n_tokens: int
    finish_reason: str


@dataclass(frozen=True)
class Example:
    """A prompt with some of its responses. agreement: Spearman correlation of head and golden within it."""

    prompt_id: str
    messages: list[tuple[str, str]]  # (role, content)
    agreement: float
    n_responses: int
    answers: list[ShownAnswer]


@dataclass(frozen=True)
class Examples:
    agree: list[Example] = field(default_factory=list)
    differ: list[Example] = field(default_factory=list)


def pick_examples(content: ReportContent, n: int = N_EXAMPLES) -> Examples:
    """Examples on n prompts: half where the ranks agree most, half where they agree least.

    Prompts on which the head or the golden reward has a single value have no rank correlation and are
    left out. Ties are broken by prompt_id, so that the choice is always the same.
    """
    frame = content.scores_of_chosen(content.split)
    ranked = agreement(frame).reset_index(name="rho").sort_values(["rho", "prompt_id"])
    total = min(n, len(ranked))
    n_differ = total // 2
    differ = ranked.head(n_differ)
    agree = ranked.iloc[n_differ:].sort_values(["rho", "prompt_id"], ascending=[False, True])
    agree = agree.head(total - n_differ)
    return Examples(_examples(content, frame, agree), _examples(content, frame, differ))


def agreement(scores: pd.DataFrame) -> pd.Series:
    """Spearman correlation of `score` and `golden` within each prompt_id, where it is defined."""
    prompt, names = pd.factorize(scores["prompt_id"])  # numbers, which take less memory than names
    ranks = scores[["score", "golden"]].groupby(prompt).rank()
    ranks -= ranks.groupby(prompt).transform("mean")
    product = (ranks["score"] * ranks["golden"]).groupby(prompt).sum()
    norm = np.sqrt((ranks**2).groupby(prompt).sum().prod(axis=1))
    product.index = norm.index = pd.Index(names, name="prompt_id")
    # It is rounded, so that the last bit of a sum does not order equal correlations.
    return (product[norm > 1e-9] / norm[norm > 1e-9]).round(9)


def _examples(content: ReportContent, scores: pd.DataFrame, picked: pd.DataFrame) -> list[Example]:
    prompts = content.prompts.set_index("prompt_id")["messages"]
    shown = scores[scores["prompt_id"].isin(picked["prompt_id"])]
    texts = content.texts(list(shown["response_id"]))
    examples = []
    for prompt_id, rho in picked[["prompt_id", "rho"]].itertuples(index=False):
        mine = shown[shown["prompt_id"] == prompt_id]
        messages = messages_of(prompts.get(prompt_id))
        examples.append(Example(str(prompt_id), messages, float(rho), len(mine), _answers(mine, texts)))
    return examples


def messages_of(messages: Any) -> list[tuple[str, str]]:
    """(role, content) of each message of a prompt. messages: dicts, or None if the table lacks the prompt."""
    return [] if messages is None else [(str(m["role"]), str(m["content"])) for m in messages]


def _answers(scores: pd.DataFrame, texts: pd.DataFrame) -> list[ShownAnswer]:
    """The best and worst response by head and by golden; one that is several of these appears once."""
    tags: dict[str, list[str]] = {}
    for end, ascending in (("best", False), ("worst", True)):
        for column, judge in (("score", "head"), ("golden", "golden")):
            order = scores.sort_values([column, "response_id"], ascending=[ascending, True])
            tags.setdefault(str(order["response_id"].iloc[0]), []).append(f"{end} by {judge}")
    values = scores.set_index("response_id")
    return [
        _answer(tag, values.loc[i], texts.loc[i] if i in texts.index else None) for i, tag in tags.items()
    ]


def _answer(tags: list[str], values: Any, row: Any) -> ShownAnswer:
    text, tokens, finish = (NO_TEXT, math.nan, "") if row is None else tuple(row[_COLUMNS])
    n_tokens = -1 if pd.isna(tokens) else int(tokens)
    return ShownAnswer(
        tags, str(text), float(values["score"]), float(values["golden"]), n_tokens, str(finish)
    )
