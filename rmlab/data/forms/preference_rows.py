"""Turns scored responses into TRL's preference rows: `prompt`, `chosen`, `rejected`, scores and ids."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import pyarrow as pa

from rmlab.models.text.rendering import Message
from rmlab.storage.schemas import MESSAGES

Which = Literal["all", "best"]


@dataclass(frozen=True)
class Scored:
    """A response of an artifact; if its score is not a number, it is in no pair."""

    response_id: str
    text: str
    score: float


@dataclass(frozen=True)
class Preferences:
    """rows: preference rows of all splits; ties: number of pairs left out because their scores are equal."""

    rows: list[dict[str, Any]]
    ties: int


def preference_rows(
    prompt: dict[str, Any], responses: Sequence[Scored], which: Which, plain: bool
) -> tuple[list[dict[str, Any]], int]:
    """The preference rows of one prompt, a row of the prompts table, and the number of ties."""
    known = [r for r in responses if math.isfinite(r.score)]
    found, ties = [], 0
    for a, b in _pairs(known, which):
        if a.score == b.score:
            ties += 1
            continue
        chosen, rejected = (a, b) if a.score > b.score else (b, a)
        messages: list[Message] = prompt["messages"]
        found.append(
            {
                "prompt": messages[0]["content"] if plain else messages,
                "chosen": _said(chosen.text, plain),
                "rejected": _said(rejected.text, plain),
                "score_chosen": chosen.score,
                "score_rejected": rejected.score,
                "prompt_id": prompt["prompt_id"],
                "chosen_id": chosen.response_id,
                "rejected_id": rejected.response_id,
                "group": prompt["group"],
                "split": prompt["split"],
            }
        )
    return found, ties


def _pairs(responses: Sequence[Scored], which: Which) -> Iterator[tuple[Scored, Scored]]:
    if which == "all":
        yield from combinations(responses, 2)
    elif len(responses) > 1:
        yield max(responses, key=lambda r: r.score), min(responses, key=lambda r: r.score)


def _said(text: str, plain: bool) -> Any:
    return text if plain else [{"role": "assistant", "content": text}]


def preference_schema(plain: bool) -> pa.Schema:
    """The columns of preference rows. plain: prompt, chosen and rejected are text, not messages."""
    said = pa.string() if plain else MESSAGES
    columns = {"prompt": said, "chosen": said, "rejected": said}
    columns |= {"score_chosen": pa.float64(), "score_rejected": pa.float64()}
    names = ("prompt_id", "chosen_id", "rejected_id", "group", "split")
    columns |= dict.fromkeys(names, pa.string())
    return pa.schema([pa.field(name, kind) for name, kind in columns.items()])
