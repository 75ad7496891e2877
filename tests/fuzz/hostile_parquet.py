"""Parquet files with forged schemas, odd types, and damaged bytes."""

from __future__ import annotations

import datetime
import decimal
import io
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hostile_values import damaged, junk
from hypothesis import strategies as st

ODD_COLUMNS: dict[str, Any] = {
    "ints": lambda n: pa.array(range(n), pa.int64()),
    "small": lambda n: pa.array([k % 7 for k in range(n)], pa.int8()),
    "unsigned": lambda n: pa.array([2**64 - 1] * n, pa.uint64()),
    "floats": lambda n: pa.array([float("nan"), 1.5, float("inf")][:n] + [0.0] * max(0, n - 3)),
    "half": lambda n: pa.array([0.5] * n, pa.float16()),
    "flags": lambda n: pa.array([k % 2 == 0 for k in range(n)]),
    "nulls": pa.nulls,
    "null texts": lambda n: pa.nulls(n, pa.string()),
    "bytes": lambda n: pa.array([b"\xff\xfe\x00"] * n, pa.binary()),
    "large texts": lambda n: pa.array([f"text {k}" for k in range(n)], pa.large_string()),
    "categories": lambda n: pa.array([f"c{k % 2}" for k in range(n)]).dictionary_encode(),
    "decimals": lambda n: pa.array([decimal.Decimal("1.50")] * n, pa.decimal128(9, 2)),
    "times": lambda n: pa.array([datetime.datetime(2020, 1, 1)] * n, pa.timestamp("ns", "UTC")),
    "dates": lambda n: pa.array([datetime.date(9999, 12, 31)] * n),
    "durations": lambda n: pa.array([datetime.timedelta(days=1)] * n),
    "lists": lambda n: pa.array([[1, None, 3]] * n, pa.list_(pa.int32())),
    "texts in lists": lambda n: pa.array([["a", "b"], []][:n] + [None] * max(0, n - 2), pa.list_(pa.string())),
    "structs": lambda n: pa.array([{"role": "user", "content": "a"}] * n),
    "messages": lambda n: pa.array([[{"role": "user", "content": f"q {k}"}] for k in range(n)]),
    "bad messages": lambda n: pa.array([[{"role": 3, "content": None}, None]] * n),
    "maps": lambda n: pa.array([[("a", 1)]] * n, pa.map_(pa.string(), pa.int32())),
    "vectors": lambda n: pa.array([[0.5, 1.0]] * n, pa.list_(pa.float32(), 2)),
    "null vectors": lambda n: pa.array([[0.5, None], None][:n] + [[1.0, 2.0]] * max(0, n - 2), pa.list_(pa.float32(), 2)),
    "bytes of vectors": lambda n: pa.array([[1, -2]] * n, pa.list_(pa.int8(), 2)),
    "ragged": lambda n: pa.array([[0.5] * (k % 3) for k in range(n)], pa.list_(pa.float64())),
    "nested": lambda n: pa.array([[[[1.0]]]] * n),
    "deep": lambda n: _deep(n, 40),
    "huge numbers": lambda n: pa.array([1e300] * n),
    "invalid text": lambda n: pa.StringArray.from_buffers(
        n, pa.array(list(range(n + 1)), pa.int32()).buffers()[1], pa.py_buffer(b"\xff" * n)
    ),
    "long text": lambda n: pa.array(["x" * 200_000] * n),
}  # fmt: skip


def _deep(n: int, levels: int) -> pa.Array:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return pa.array([value] * n)


def parquet(*good: dict[str, Any]) -> st.SearchStrategy[bytes]:
    """The good rows as Parquet, some columns of other types, or the file damaged."""
    columns = sorted({column for row in good for column in row})
    honest = _table(good)
    files = [_written(honest, **how) for how in _HOWS]
    forged = st.builds(
        lambda odd, twice, how: _forged(honest, odd, twice, how),
        st.dictionaries(st.sampled_from(columns), st.sampled_from(sorted(ODD_COLUMNS)), max_size=3),
        st.one_of(st.none(), st.sampled_from(columns)),
        st.integers(0, len(_HOWS) - 1),
    )
    return st.one_of(forged, st.sampled_from(files).flatmap(damaged_parquet), junk())


def damaged_parquet(file: bytes) -> st.SearchStrategy[bytes]:
    """Damage anywhere, in the footer, or in the first page headers; or a footer said to be longer."""
    length = int.from_bytes(file[-8:-4], "little")
    footer = file[-8 - length : -8]
    tail = (damaged(footer) if footer else st.just(footer)).map(
        lambda f: file[: -8 - length] + f + len(f).to_bytes(4, "little") + b"PAR1"
    )
    longer = st.integers(0, 2**32 - 1).map(lambda n: file[:-8] + n.to_bytes(4, "little") + b"PAR1")
    pages = damaged(file[4:200]).map(lambda b: file[:4] + b[:196] + file[4 + len(b[:196]) :])
    return st.one_of(damaged(file), tail, tail, longer, pages)


_HOWS: list[dict[str, Any]] = [
    {"compression": "snappy"},
    {"compression": "zstd", "data_page_version": "2.0", "write_page_checksum": True},
    {"compression": "gzip", "use_dictionary": False},
    {"compression": "none", "row_group_size": 2, "store_schema": False},
]


def _table(good: tuple[dict[str, Any], ...]) -> pa.Table:
    columns = sorted({column for row in good for column in row})
    return pa.table({column: [row.get(column) for row in good] for column in columns})


def _forged(honest: pa.Table, odd: dict[str, str], twice: str | None, how: int) -> bytes:
    n = honest.num_rows
    names, arrays = list(honest.column_names), list(honest.columns)
    for column, kind in odd.items():
        arrays[names.index(column)] = _odd(kind, n)
    if twice is not None:
        names.append(twice)
        arrays.append(_odd("ints", n))
    table = pa.Table.from_arrays(arrays, names=names)
    metadata = {b"pandas": b'{"columns": 3, "index_columns": [{"kind": "range"', b"ARROW:schema": b"AAAA"}
    return _written(table.replace_schema_metadata(metadata), **_HOWS[how])


@lru_cache(maxsize=256)
def _odd(kind: str, n: int) -> pa.Array:
    return ODD_COLUMNS[kind](n)


def _written(table: pa.Table, **how: Any) -> bytes:
    out = io.BytesIO()
    try:
        pq.write_table(table, out, **how)
    except pa.ArrowException:  # a type that Parquet has no place for
        pq.write_table(pa.table({"prompt": ["a"]}), out)
    return out.getvalue()
