"""Rows of a user's file: JSONL, CSV or Parquet; or of a dataset. Errors name the file and the row."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from rmlab.data.csv_messages import with_messages
from rmlab.data.dataset_rows import dataset_files, is_dataset
from rmlab.data.text_lines import LONGEST, byte_lines, decoded, text
from rmlab.errors import InputError
from rmlab.storage.files import parse_json, read_plain_text
from rmlab.storage.untrusted import open_table

Row = dict[str, Any]
_BY_LINE, _BY_COMMA, _TABLES = (".jsonl", ".jsonl.gz", ".ndjson"), (".csv", ".csv.gz"), (".parquet", ".arrow")
ENDINGS = (*_BY_LINE, ".json", *_BY_COMMA, *_TABLES)  # of the names of files that are read


def read_rows(
    path: Path, columns: Collection[str] | None = None, names: Mapping[str, str] | None = None
) -> Iterator[tuple[int, Row]]:
    """(row number from 1, row) for every row of the file, one at a time.

    columns: all that is looked at; of a Parquet file nothing else is read, and is None in the rows.
    names: the names that the file has for columns, where they are others.
    """
    names = {} if names is None else names
    there = None if columns is None else {names.get(column, column) for column in columns}
    if not is_dataset(path) and not path.is_file():
        raise InputError(f"{path} does not exist; point at a JSONL, CSV or Parquet file")
    found = _dataset(path, there, names) if is_dataset(path) else _rows(path, there, names)
    rows = _some(found, path)
    wanted = {ours: name for ours, name in names.items() if columns is None or ours in columns}
    return _renamed(rows, wanted, path) if names else rows


def _renamed(
    rows: Iterator[tuple[int, Row]], names: Mapping[str, str], path: Path
) -> Iterator[tuple[int, Row]]:
    """The rows with the columns under the names that the forms have; the first row must have all of them."""
    hidden = {*names, *names.values()}
    first = True
    for number, row in rows:
        missing = [(ours, name) for ours, name in names.items() if name not in row] if first else []
        for ours, name in missing:
            known = ", ".join(sorted(map(str, row))) or "nothing"
            raise InputError(
                f"{path}, row {number}: no column '{name}', which columns.{ours} names; it has {known}"
            )
        first = False
        others = {column: value for column, value in row.items() if column not in hidden}
        yield number, others | {ours: row[name] for ours, name in names.items() if name in row}


def _rows(path: Path, columns: Collection[str] | None, names: Mapping[str, str]) -> Iterator[tuple[int, Row]]:
    """The rows of one file, under its own names of columns. names: as for `read_rows`."""
    name = path.name.lower()
    if name.endswith(_BY_LINE):
        return _jsonl(path)
    if name.endswith(".json"):
        return _json(path)
    if name.endswith(_BY_COMMA):
        return with_messages(_csv(path), path, names)
    if name.endswith(_TABLES):
        return _table(path, columns)
    raise InputError(f"{path}: unknown kind of file; use .jsonl, .jsonl.gz, .json, .csv or .parquet")


def _dataset(
    path: Path, columns: Collection[str] | None, names: Mapping[str, str]
) -> Iterator[tuple[int, Row]]:
    """Rows are counted over all files; a split that its files' names tell is that of rows without one."""
    number = 0
    for file, split in dataset_files(path):
        for _, row in _rows(file, columns, names):
            number += 1
            yield number, row if split is None or row.get("split") else {**row, "split": split}


def _some(rows: Iterator[tuple[int, Row]], path: Path) -> Iterator[tuple[int, Row]]:
    number = None
    for number, row in rows:
        yield number, row
    if number is None:
        raise InputError(f"{path} has no rows")


def _jsonl(path: Path) -> Iterator[tuple[int, Row]]:
    # only line feeds end a row: str.splitlines would also split inside a JSON string
    for number, line in byte_lines(path):
        if not line or line.isspace():
            continue
        try:
            row = parse_json(line.decode())
        except UnicodeDecodeError:
            decoded(line, path, number)  # says where
            raise
        except ValueError as error:  # also of a number with thousands of digits
            raise InputError(f"{path}, line {number}: not JSON ({error})") from None
        if not isinstance(row, dict):
            raise InputError(f"{path}, line {number}: expected an object {{...}}, got {type(row).__name__}")
        yield number, row


def _json(path: Path) -> Iterator[tuple[int, Row]]:
    """One list of all rows, or a row a line as in JSONL."""
    _, first = next(byte_lines(path), (1, b""))
    if not first.lstrip().startswith(b"["):
        yield from _jsonl(path)
        return
    try:
        rows = parse_json(read_plain_text(path))
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error})") from None
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise InputError(f"{path}, row {number}: expected an object {{...}}, got {type(row).__name__}")
        yield number, row


def _csv(path: Path) -> Iterator[tuple[int, Row]]:
    csv.field_size_limit(LONGEST)
    with text(path) as file:
        reader = csv.DictReader(file, strict=True)
        try:
            check_header(reader.fieldnames or (), path)
            for number, row in enumerate(reader, start=1):
                if None in row or None in row.values():
                    raise InputError(f"{path}, row {number}: not as many fields as the header has")
                yield number, row
        except csv.Error as error:
            raise InputError(f"{path}, line {reader.line_num}: not CSV ({error})") from None


def _table(path: Path, columns: Collection[str] | None) -> Iterator[tuple[int, Row]]:
    with open_table(path, columns) as found:
        read = [n for n in found.schema.names if columns is None or n in columns]
        check_header(read, path)
        unread: Row = dict.fromkeys(n for n in found.schema.names if n not in read)
        number = 0
        for batch in found:
            for row in found.as_python(batch):
                number += 1
                yield number, unread | row


def check_header(names: Sequence[str], path: Path) -> None:
    """Each name once; a spreadsheet may leave several columns without any."""
    for name, n in Counter(names).items():
        if n > 1 and name:
            raise InputError(f"{path} has {n} columns '{name}'; keep one of them")


def need_text(row: Row, column: str, where: str) -> str:
    """A column that must hold text that is not blank and that UTF-8 can store."""
    value = row.get(column)
    if value is None:
        known = ", ".join(sorted(map(str, row)))
        raise InputError(f"{where}: no '{column}'; the row has {known or 'nothing'}")
    return check_text(value, column, where)


def name_text(value: Any, column: str, where: str) -> str:
    """A name, such as an id or a group, as text: whole numbers will do, and those that a table with gaps made
    floats of; lists, truth values and NaN name nothing."""
    is_number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    if is_number and (isinstance(value, int) or math.isfinite(value)):  # an int may be beyond all floats
        return str(value)
    if isinstance(value, str):
        return check_text(value, column, where)
    shown = f"{value}" if is_number else type(value).__name__
    raise InputError(f"{where}: '{column}' must be text or a whole number, got {shown}")


def check_text(value: Any, column: str, where: str, blank: bool = False) -> str:
    if not isinstance(value, str):
        raise InputError(f"{where}: '{column}' must be text, got {type(value).__name__}")
    if not blank and not value.strip():
        raise InputError(f"{where}: '{column}' is empty")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(f"{where}: '{column}' holds a lone surrogate, which is not text") from None
    return value
