"""Golden scores that exist already: read from a user's file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from rmlab.compute import Compute
from rmlab.data.messages import prompt_messages
from rmlab.data.prompts import content_id
from rmlab.data.reader import Row, need_text, read_rows
from rmlab.errors import InputError
from rmlab.goldens.base import Failed, Score, Scorer
from rmlab.shipped import user_path
from rmlab.text import Exchange

Key = tuple[str, ...]
_COLUMNS = ("response_id", "prompt_id", "prompt", "messages", "response")


@dataclass(frozen=True)
class FileGolden:
    """path: rows with a score and response_id, or prompt (or prompt_id) and response.

    reward: of a file that has several, each under its name in the column `reward`, the one that counts.
    NaN says that the reward failed on this response; no score at all is an error.
    """

    path: str = field(metadata={"source": True})
    column: str = "score"
    reward: str | None = None

    def open(self, compute: Compute) -> Scorer:
        path = user_path(self.path)
        scores: dict[Key, float] = {}
        for number, row in read_rows(path, (*_COLUMNS, "reward", self.column)):
            where = f"{path}, row {number}"
            if self.reward is not None and row.get("reward") != self.reward:
                continue
            scores[_row_key(row, where)] = _number(row, self.column, where)
        if not scores:
            raise InputError(f"{path}: no row whose 'reward' is {self.reward}; see golden.file.reward")

        def score(exchanges: Sequence[Exchange]) -> list[Score]:
            return [_score(_find(scores, e, str(path))) for e in exchanges]

        return score


def _row_key(row: Row, where: str) -> Key:
    if row.get("response_id") not in (None, ""):
        return (str(row["response_id"]),)
    given = row.get("prompt_id")
    prompt = str(given) if given not in (None, "") else content_id(prompt_messages(row, where))
    return (prompt, need_text(row, "response", where))


def _number(row: Row, column: str, where: str) -> float:
    value: Any = row.get(column)
    if value is None:
        raise InputError(f"{where}: no '{column}'; name the score's column with golden.file.column=...")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InputError(f"{where}: '{column}' is {value!r}, not a number") from None


def _score(value: float) -> Score:
    return value if math.isfinite(value) else Failed(f"the file gives {value}")


def _find(scores: dict[Key, float], exchange: Exchange, path: str) -> float:
    for key in _keys(exchange):
        if key in scores:
            return scores[key]
    raise InputError(f"{path}: no score for response {exchange.response_id} of prompt {exchange.prompt_id}")


def _keys(exchange: Exchange) -> Iterator[Key]:
    """What a row may call a response, the cheapest to make first."""
    yield (exchange.response_id,)
    yield (exchange.prompt_id, exchange.response)
    yield (content_id(exchange.messages), exchange.response)
