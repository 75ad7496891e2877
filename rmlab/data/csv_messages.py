"""Messages in a CSV file, whose fields are no lists: they are JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rmlab.errors import InputError
from rmlab.storage.files import parse_json

_PROMPTS = ("prompt", "messages")
_PAIRS = (("chosen", "rejected"), ("response_a", "response_b"))
_SINGLE = ("response", "completion")
ANSWERS = (*_PAIRS[0], *_PAIRS[1], *_SINGLE)  # columns of texts
_PYTHON = re.compile(r"\s*\[\s*\{\s*'(role|content)'\s*:")

Rows = Iterator[tuple[int, dict[str, Any]]]


def with_messages(rows: Rows, path: Path, names: Mapping[str, str]) -> Rows:
    """The rows with JSON messages as lists, in the columns in which the first row has them.

    An answer may be a text that looks like messages. So both answers of a pair must be messages, and a single
    answer is read so only where the prompt is. names: the file's names of columns, where they are others.
    """
    columns: set[str] | None = None
    for number, row in rows:
        if columns is None:
            _refuse_python(row, f"{path}, row {number}", names)
            columns = _columns_of_messages(row, names)
        yield number, row | {c: found for c in columns if (found := _messages(row.get(c)))}


def _columns_of_messages(row: Mapping[str, Any], names: Mapping[str, str]) -> set[str]:
    def is_so(*columns: str) -> list[bool]:
        return [_messages(row.get(names.get(column, column))) is not None for column in columns]

    found = {column for column in _PROMPTS if all(is_so(column))}
    found |= {column for pair in _PAIRS if all(is_so(*pair)) for column in pair}
    if any(is_so(*_PROMPTS)):
        found |= {column for column in _SINGLE if all(is_so(column))}
    return {names.get(column, column) for column in found}


def _messages(value: Any) -> list[Any] | None:
    """The messages that a text holds as JSON, or None if it holds none."""
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return None
    try:
        found = parse_json(value)
    except ValueError:
        return None
    is_list = bool(found) and all(isinstance(m, dict) and {"role", "content"} <= m.keys() for m in found)
    return found if is_list else None


def _refuse_python(row: Mapping[str, Any], where: str, names: Mapping[str, str]) -> None:
    for column in ("prompt", *_PAIRS[0]):
        value = row.get(names.get(column, column))
        if isinstance(value, str) and _PYTHON.match(value):
            raise InputError(
                f"{where}: '{column}' holds messages as Python prints them, which is not JSON; write the "
                "file as JSONL or Parquet, or this column with json.dumps"
            )
