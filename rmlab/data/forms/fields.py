"""Fields of a record: numbers, lists, and one answer given as text or as messages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rmlab.data.messages import check_messages
from rmlab.data.reader import Row, check_text
from rmlab.errors import InputError
from rmlab.plain_files import parse_json


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
