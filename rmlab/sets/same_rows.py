"""Whether files of a set hold the same rows, whichever library wrote them and in whatever order."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from rmlab.artifacts.files import read_parquet
from rmlab.artifacts.schemas import Table


def same_rows(one: Path, other: Path, table: Table, key: str) -> bool:
    """key: of the rows, unique in each file. NaN equals NaN."""
    ids = [read_typed(file, table, [key])[key] for file in (one, other)]
    orders = [pc.sort_indices(column) for column in ids]
    if not ids[0].take(orders[0]).equals(ids[1].take(orders[1])):
        return False  # most files are told apart by this; no more of them is read
    columns = [name for name in table.schema.names if name != key]
    first, second = (
        read_typed(file, table, columns).take(order) for file, order in zip((one, other), orders, strict=True)
    )
    return all(_equal(first[name], second[name]) for name in columns)


def read_typed(file: Path, table: Table, columns: list[str] | None = None) -> pa.Table:
    """Columns of a file that is valid, in the order and with the types of their table."""
    names = table.schema.names if columns is None else columns
    fields = pa.schema([table.schema.field(name) for name in names])
    return read_parquet(file, names).select(names).cast(fields)


def _equal(one: pa.ChunkedArray, other: pa.ChunkedArray) -> bool:
    if pa.types.is_floating(one.type):
        nan, other_nan = pc.is_nan(one), pc.is_nan(other)
        if not nan.equals(other_nan):
            return False
        one, other = one.filter(pc.invert(nan)), other.filter(pc.invert(nan))
    return bool(one.equals(other))
