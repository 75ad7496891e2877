"""Reading the Parquet files of a set that may be damaged or forged: a table as it should be, or one line."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from rmlab.errors import InputError
from rmlab.storage.table_schema import Column, Table
from rmlab.storage.untrusted import UNUSABLE, open_table
from rmlab.storage.untrusted_bounds import first_line


def read_set_table(
    folder: Path, name: str, table: Table, rows: int | None = None, columns: Collection[str] | None = None
) -> pa.Table:
    """The table with the schema of its kind, or some columns of it. rows: as set.json says."""
    parts = list(stream_set_table(folder, name, table, rows, columns))
    schema = pa.schema([f for f in table.schema if columns is None or f.name in columns])
    return pa.Table.from_batches(parts, schema).combine_chunks()


def stream_set_table(
    folder: Path, name: str, table: Table, rows: int | None = None, columns: Collection[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Yields the table of read_set_table in batches of rows."""
    wanted, first = [c for c in table.columns if columns is None or c.name in columns], 1
    with open_table(folder / name, [c.name for c in wanted], name=name) as found:
        if rows is not None and found.rows != rows:
            raise InputError(f"{name} has {found.rows:,} rows, but set.json says {rows:,}")
        check_columns(found.schema, table, name)
        for batch in found:
            yield _typed(batch, wanted, name, first)
            first += batch.num_rows


def _typed(batch: pa.RecordBatch, wanted: Sequence[Column], name: str, first: int) -> pa.RecordBatch:
    """The batch with the table's own types; first: its first row in the file."""
    columns = []
    for known, column in ((known, batch[known.name]) for known in wanted):
        if column.null_count:
            row = first + column.is_null().to_pylist().index(True)
            raise InputError(f"{name}, row {row}: no {known.name}")
        try:
            columns.append(_whole(column.cast(known.type), known.name, name, first))
        except InputError:
            raise
        except UNUSABLE as error:
            where = f"{name}, rows {first} to {first + batch.num_rows - 1}"
            raise InputError(f"{where}: {known.name} is not {known.type} ({first_line(error)})") from None
    fields = [pa.field(known.name, known.type, nullable=known.nullable) for known in wanted]
    return pa.record_batch(columns, schema=pa.schema(fields))


def _whole(column: pa.Array, column_name: str, name: str, first: int) -> pa.Array:
    """The column, if its vectors hold no null: whoever reads them as a matrix could not."""
    if pa.types.is_fixed_size_list(column.type) and column.flatten().null_count:
        row = first + column.flatten().is_null().to_pylist().index(True) // column.type.list_size
        raise InputError(f"{name}, row {row}: {column_name} holds a null")
    return column


def check_columns(schema: pa.Schema, table: Table, name: str) -> None:
    """The columns of the table, each of its kind: int32 or int64 is all one, text and number are not."""
    for column in table.columns:
        if schema.names.count(column.name) != 1:
            found = ", ".join(schema.names)[:200]
            raise InputError(f"{name} has no column '{column.name}' or several; it has {found}")
        found, wanted = schema.field(column.name).type, column.type
        if _kind(found) != _kind(wanted):
            raise InputError(f"{name}: '{column.name}' is {found}, not {wanted}")
    for extra in [n for n in schema.names if n not in table.schema.names][:1]:
        raise InputError(f"{name} has a column '{extra}', which a set has no place for")


def _kind(found: pa.DataType) -> str:
    if pa.types.is_list(found) or pa.types.is_large_list(found) or pa.types.is_fixed_size_list(found):
        item = found.value_type
        return f"list of {item if pa.types.is_int8(item) else _kind(item)}"
    if pa.types.is_struct(found):
        fields = sorted((found.field(i).name, _kind(found.field(i).type)) for i in range(found.num_fields))
        return str(fields)
    if pa.types.is_string(found) or pa.types.is_large_string(found):
        return "text"
    if pa.types.is_integer(found):
        return "whole number"
    return "number" if pa.types.is_floating(found) else str(found)
