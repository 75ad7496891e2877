"""Rows of a user's file: JSONL, CSV or Parquet. Errors name the file and the row."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rmlab.errors import InputError

Row = dict[str, Any]


def read_rows(path: Path) -> list[tuple[int, Row]]:
    """(row number from 1, row) for every row of the file."""
    if not path.is_file():
        raise InputError(f"{path} does not exist; point at a JSONL, CSV or Parquet file")
    rows = list(_reader(path)(path))
    if not rows:
        raise InputError(f"{path} has no rows")
    return rows


def _reader(path: Path) -> Any:
    name = path.name.lower()
    for endings, reader in (
        ((".jsonl", ".jsonl.gz", ".ndjson"), _jsonl),
        ((".csv", ".csv.gz"), _csv),
        ((".parquet",), _parquet),
    ):
        if name.endswith(endings):
            return reader
    raise InputError(f"{path}: unknown kind of file; use .jsonl, .jsonl.gz, .csv or .parquet")


def _text(path: Path) -> str:
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise InputError(f"{path} cannot be read ({error})") from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = raw.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}, line {row}: not UTF-8 (byte {error.start}); save the file as UTF-8"
        ) from None


def _jsonl(path: Path) -> Iterator[tuple[int, Row]]:
    # only line feeds end a row: str.splitlines would also split inside a JSON string
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise InputError(f"{path}, line {number}: not JSON ({error})") from None
        if not isinstance(row, dict):
            raise InputError(f"{path}, line {number}: expected an object {{...}}, got {type(row).__name__}")
        yield number, row


def _csv(path: Path) -> Iterator[tuple[int, Row]]:
    reader = csv.DictReader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        for number, row in enumerate(reader, start=1):
            if None in row or None in row.values():
                raise InputError(f"{path}, row {number}: not as many fields as the header has")
            yield number, row
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: not CSV ({error})") from None


def _parquet(path: Path) -> Iterator[tuple[int, Row]]:
    try:
        table = pq.read_table(path, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} is not a readable Parquet file ({str(error).splitlines()[0]})") from None
    yield from enumerate(table.to_pylist(), start=1)


def need_text(row: Row, column: str, where: str) -> str:
    """A column that must hold text that is not blank and that UTF-8 can store."""
    value = row.get(column)
    if value is None:
        known = ", ".join(sorted(map(str, row)))
        raise InputError(f"{where}: no '{column}'; the row has {known or 'nothing'}")
    return check_text(value, column, where)


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
