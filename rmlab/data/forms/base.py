"""What the forms share: fields of a record, and the item that each record becomes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rmlab.data.messages import check_messages
from rmlab.data.prompts import turn_id
from rmlab.data.reader import Row, check_text, name_text
from rmlab.errors import InputError
from rmlab.models.text.rendering import Message
from rmlab.storage.files import parse_json


def has(row: Row, column: str) -> bool:
    """A row without it has null there, or nothing in a CSV file."""
    value = row.get(column)
    return value is not None and not (isinstance(value, str) and value == "")


def need(row: Row, column: str, where: str) -> Any:
    if row.get(column) is None:
        raise InputError(
            f"{where}: no '{column}'; the row has {', '.join(sorted(map(str, row))) or 'nothing'}"
        )
    return row[column]


def number(value: Any, column: str, where: str) -> float:
    """A finite number; CSV files hold it as text."""
    try:
        found = math.nan if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise InputError(f"{where}: '{column}' has {value!r}, not a finite number")
    return found


def listed(row: Row, column: str, where: str) -> list[Any]:
    """A list; CSV files hold it as JSON."""
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


def json_messages(value: Any) -> list[Any] | None:
    """What a text holds as JSON, where that is a list of messages."""
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return None
    try:
        found = parse_json(value)
    except ValueError:
        return None
    return found if all(isinstance(m, dict) and {"role", "content"} <= m.keys() for m in found) else None


def answer_text(value: Any, column: str, where: str) -> str:
    """The text of an answer, given as text or as a list of one message, the assistant's. It may be blank."""
    if not is_conversation(value):
        return check_text(value, column, where, blank=True)
    messages = check_messages(list(value), where, blank=True)
    if [m["role"] for m in messages] != ["assistant"]:
        roles = ", ".join(m["role"] for m in messages)
        raise InputError(f"{where}: '{column}' must be one message of the assistant's, got {roles}")
    return messages[0]["content"]


def same_length(where: str, **columns: Sequence[Any]) -> None:
    first, *others = columns
    for other in others:
        if len(columns[first]) != len(columns[other]):
            raise InputError(
                f"{where}: '{first}' has {len(columns[first])} entries and '{other}' {len(columns[other])}; "
                "give one for each"
            )


class Unusable(InputError):
    """A record that is well formed and yet tells nothing, such as a preference between equal texts."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}")
        self.reason = reason


@dataclass(frozen=True)
class Answer:
    """Equal scores are a tie. response_id: where the file gives one."""

    text: str
    score: float
    response_id: str | None = None


@dataclass(frozen=True)
class Item:
    """group: items of one group are never split apart. split: as the file gives it. is_text: its prompt was
    text, not messages. prompt_id: where the file, or what reads it, gives one."""

    messages: list[Message]
    answers: tuple[Answer, ...]
    group: str
    split: str | None = None
    prompt_id: str | None = None
    is_text: bool = False
    number: int = 0
    where: str = ""


def group_of(row: Row, messages: list[Message], where: str) -> str:
    """The group that the row gives, else the first of the user's messages, as the id of a prompt like it."""
    given = row.get("group")
    if given is not None and given != "":
        return name_text(given, "group", where)
    return turn_id(messages)


def split_given(row: Row) -> str | None:
    value = row.get("split")
    return None if value is None or value == "" else str(value)
