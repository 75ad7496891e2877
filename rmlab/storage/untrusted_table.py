"""Tables of strangers, Parquet and Arrow files, read within the bounds of untrusted_child.py.

Rows are sent in batches, as Arrow streams, with plain values in place of dictionaries, whose size tells
nothing of what they stand for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute  # else every fork would import it, at its first cast
import pyarrow.parquet as pq

from rmlab.storage.untrusted_bounds import PIECE, check_unpacked, tell

_ROWS, _ROWS_A_BYTE = 2**20, 20  # a file may have so many rows, or so many for each of its bytes
_ROW = 2**26  # bytes that a single row may have
_VALUES = 2**22  # values in lists and structs that are sent at once, or that a single row may have


def answer(to: Connection, asked: dict[str, Any], size: int) -> None:
    """The number of rows, where the file tells it, with the schema of all columns; then the rows with those
    columns that are asked for, of which those that the file does not have are left out."""
    read = _arrow if asked["form"] == "Arrow" else _parquet
    with read(Path(asked["path"]), asked["columns"], asked["rows"], size) as (known, schema, batches):
        tell(to, {"rows": known}, schema.serialize())
        unpacked = rows = 0
        for batch in batches:
            _check_rows(rows := rows + batch.num_rows, size)
            for piece in _pieces(batch):
                check_unpacked(unpacked := unpacked + piece.nbytes, size)
                tell(to, {"piece": True}, _as_stream(piece))


_Found = tuple[int, pa.Schema, Iterator[pa.RecordBatch]]


@contextmanager
def _parquet(path: Path, columns: list[str] | None, rows: int, size: int) -> Iterator[_Found]:
    # Not buffered ahead: a large row group is read page by page, and never held whole.
    with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20, page_checksum_verification=True) as file:
        about, schema = file.metadata, _plain_schema(file.schema_arrow)
        _check_rows(about.num_rows, size)
        groups = [about.row_group(i) for i in range(about.num_row_groups)]
        row_bytes = sum(group.total_byte_size for group in groups) // max(1, about.num_rows)
        names = [n for n in schema.names if columns is None or n in columns]
        n = max(1, min(rows, _ROW // max(1, row_bytes)))
        yield about.num_rows, schema, file.iter_batches(n, columns=names, use_threads=False)


@contextmanager
def _arrow(path: Path, columns: list[str] | None, rows: int, size: int) -> Iterator[_Found]:
    """Streams of batches, and files of them, which begin with a mark."""
    with pa.memory_map(str(path)) as source:
        is_file = source.read(6) == b"ARROW1"
        source.seek(0)
        found = pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)
        names = [n for n in found.schema.names if columns is None or n in columns]
        batches = map(found.get_batch, range(found.num_record_batches)) if is_file else iter(found)
        yield (
            0,
            _plain_schema(found.schema),
            (part for b in batches for part in _parts(b.select(names), rows)),
        )


def _parts(batch: pa.RecordBatch, rows: int) -> Iterator[pa.RecordBatch]:
    yield from (batch.slice(k, rows) for k in range(0, batch.num_rows, rows))


def _check_rows(rows: int, size: int) -> None:
    if rows > max(_ROWS, _ROWS_A_BYTE * size):
        raise ValueError(f"it declares {rows:,} rows in {size:,} bytes")


def _pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The rows in pieces of bounded size, checked, and with plain values in place of dictionaries."""
    plain = _plain_schema(batch.schema)
    if plain != batch.schema:  # a batch without columns would lose its rows
        batch = batch.cast(plain)
    batch.validate(full=True)
    waiting = [batch]
    while waiting:
        piece = waiting.pop()
        n, n_bytes, n_values = piece.num_rows, piece.nbytes, sum(map(_values, piece.columns))
        if n > 1 and (n_bytes > PIECE or n_values > _VALUES):
            waiting += [piece.slice(n // 2), piece.slice(0, n // 2)]
        elif n_bytes > _ROW or n_values > _VALUES:
            raise ValueError(f"a row has {n_bytes:,} bytes and {n_values:,} values, more than a row may")
        else:
            yield piece


def _values(column: pa.Array) -> int:
    """The number of values, those in lists and structs included: even nulls take memory in Python."""
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return len(column) + _values(column.flatten())
    if pa.types.is_struct(kind):
        return len(column) + sum(map(_values, column.flatten()))
    return len(column)


def _as_stream(batch: pa.RecordBatch) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return sink.getvalue()


def _plain_schema(schema: pa.Schema) -> pa.Schema:
    return pa.schema([pa.field(f.name, _plain(f.type)) for f in schema])


def _plain(kind: pa.DataType) -> pa.DataType:
    """The type without dictionaries, whose size says nothing of what they stand for, and without maps."""
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    if pa.types.is_map(kind):
        kind = pa.list_(pa.struct([kind.key_field, kind.item_field]))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        make = pa.list_ if pa.types.is_list(kind) else pa.large_list
        return make(pa.field(kind.value_field.name, _plain(kind.value_type)))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(pa.field(kind.value_field.name, _plain(kind.value_type)), kind.list_size)
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(f.name, _plain(f.type)) for f in kind])
    return kind
