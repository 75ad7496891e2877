"""Helpers of all forms: typed access to fields of a record, and the item that a record becomes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rmlab.data.messages import check_messages
from rmlab.data.reader import Row, check_text, name_text
from rmlab.errors import InputError
from rmlab.models.text.rendering import Message
from rmlab.storage.files import parse_json


def has(row: Row, column: str) -> bool:
    """True unless the row has no value there; in a CSV file that is an empty field."""
    value = row.get(column)
    return value is not None and not (isinstance(value, str) and value == "")


def need(row: Row, column: str, where: str) -> Any:
    """The value of a column; raises an InputError if there is none."""
    if row.get(column) is None:
        raise InputError(
            f"{where}: no '{column}'; the row has {', '.join(sorted(map(str, row))) or 'nothing'}"
        )
    return row[column]


def number(value: Any, column: str, where: str) -> float:
    """The value as a finite number; in CSV files it is text."""
    try:
        found = math.nan if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise InputError(f"{where}: '{column}' has {value!r}, not a finite number")
    return found


def listed(row: Row, column: str, where: str) -> list[Any]:
    """The value of a column as a list; in CSV files it is JSON."""
    value = need(row, column, where)
    if isinstance(value, str):
        try:
            value = parse_json(value)
        except ValueError:
            raise InputError(f"{where}: '{column}' is text, not a list, such as [1, 2]") from None
    if not isinstance(value, list | tuple):
        raise InputError(f"{where}: '{column}' must be a list, got {type(value).__name__}")
    return list(value)


def is_conversation(value: Any) -> bool:
    return isinstance(value, list | tuple)


def answer_text(value: Any, column: str, where: str) -> str:
    """The text of an answer that is given as text or as a list of one assistant message. It may be blank."""
    if not is_conversation(value):
        return check_text(value, column, where, blank=True)
    messages = check_messages(list(value), where, blank=True)
    if [m["role"] for m in messages] != ["assistant"]:
        roles = ", ".join(m["role"] for m in messages)
        raise InputError(f"{where}: '{column}' must be one message of the assistant's, got {roles}")
    return messages[0]["content"]


def same_length(where: str, **columns: Sequence[Any]) -> None:
    """Raises an InputError unless all columns have equally many entries."""
    first, *others = columns
    for other in others:
        if len(columns[first]) != len(columns[other]):
            raise InputError(
                f"{where}: '{first}' has {len(columns[first])} entries and '{other}' {len(columns[other])}; "
                "give one for each"
            )


class UnusableRecord(InputError):
    """Raised for a record without information, though well formed, such as a preference between equal
    texts."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}")
        self.reason = reason


@dataclass(frozen=True)
class Answer:
    """An answer and its score; equal scores are a tie. response_id: the one that the file gives, if any."""

    text: str
    score: float
    response_id: str | None = None


@dataclass(frozen=True)
class Item:
    """A prompt with its scored answers.

    group: items of one group are never split apart; a reader leaves "" where the file gives none. split: the
    one that the file gives, if any; prompt_id: the one that the file or its reader gives; is_text: true if
    the prompt was text, not messages.
    """

    messages: list[Message]
    answers: tuple[Answer, ...]
    group: str
    split: str | None = None
    prompt_id: str | None = None
    is_text: bool = False
    number: int = 0
    where: str = ""


def group_given(row: Row, where: str) -> str:
    """The group that the row gives, or "" if its text decides."""
    return name_text(row["group"], "group", where) if has(row, "group") else ""


def split_given(row: Row) -> str | None:
    value = row.get("split")
    return None if value is None or value == "" else str(value)
