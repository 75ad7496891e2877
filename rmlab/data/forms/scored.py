"""scored: rows of `prompt` (or `messages`), `response` and a score; the rows of one prompt are one item.

`prompt_id`, `response_id`, `split` and `group` are optional. A score of NaN is a failed one, and stays NaN.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from rmlab.artifacts.fingerprint import row_id
from rmlab.data.forms.fields import has
from rmlab.data.forms.item import Answer, Item, split_given
from rmlab.data.messages import is_text, prompt_messages
from rmlab.data.prompts import TurnGroups, content_id
from rmlab.data.reader import Row, name_text, need_text
from rmlab.errors import InputError


def scored_item(row: Row, where: str, turns: TurnGroups, column: str = "score") -> Item:
    """The item with the answer of this row alone. turns: of the rows before it."""
    messages = prompt_messages(row, where)
    prompt_id = given_id(row, "prompt_id", where) or content_id(messages)
    text = response_text(row, where, "drop") or ""
    answer = Answer(text, score_of(row, column, where), given_id(row, "response_id", where))
    given = name_text(row["group"], "group", where) if has(row, "group") else None
    group = given or turns.of(messages, prompt_id)
    return Item(messages, (answer,), group, split_given(row), prompt_id, is_text(row))


def response_text(row: Row, where: str, unusable: str) -> str | None:
    """The response; a blank one is an error, or None where unusable=drop."""
    value = row.get("response")
    if is_blank(value):
        if unusable == "drop":
            return None
        raise InputError(f"{where}: 'response' is empty; mend it, or leave such rows out with unusable=drop")
    return need_text(row, "response", where)


def is_blank(response: Any) -> bool:
    return isinstance(response, str) and not response.strip()


def score_of(row: Row, column: str, where: str) -> float:
    """NaN says that the reward failed on this response; no score at all is an error."""
    value = row.get(column)
    if value is None:
        raise InputError(f"{where}: no '{column}'; name the score's column with golden.file.column=...")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{where}: '{column}' is {value!r}, not a number") from None


def given_id(row: Row, column: str, where: str) -> str | None:
    """An id as text; a CSV file leaves a field empty where there is none."""
    return name_text(row[column], column, where) if has(row, column) else None


class AnswerIds:
    """Ids for responses that have none: a hash of prompt, text and how often that came before.

    Whoever reads the rows of a file in their order finds the same ids.
    """

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def next(self, prompt_id: str, text: str) -> str:
        name = row_id("answer", prompt_id, text)
        self._seen[name] += 1
        return name if self._seen[name] == 1 else row_id(name, self._seen[name])
