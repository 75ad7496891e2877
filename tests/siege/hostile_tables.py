"""Parquet files as no honest program writes them."""

from __future__ import annotations

import datetime
import decimal
import io
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_N = 40
ESCAPES = "\x1b[2J\x07\u202e"


def _texts(word: str) -> list[str]:
    return [f"{word} {i}" for i in range(_N)]


def _columns(**changes: Any) -> dict[str, Any]:
    return {"prompt": _texts("q"), "chosen": _texts("yes"), "rejected": _texts("no"), **changes}


def written(table: pa.Table | dict[str, Any], **how: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), file, **how)
    return file.getvalue()


def _of(values: Any) -> Callable[[], bytes]:
    """The good table with another column of preferred answers."""
    return lambda: written(_columns(chosen=values))


def _no_utf_8() -> pa.Array:
    offsets = pa.array(range(_N + 1), pa.int32()).buffers()[1]
    return pa.StringArray.from_buffers(_N, offsets, pa.py_buffer(b"\xff" * _N))


def _nested(levels: int) -> pa.Array:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return pa.array([value] * _N)


def _damaged(at: float, bytes_: bytes = b"\xff" * 8) -> Callable[[], bytes]:
    def make() -> bytes:
        good = written(_columns(), compression="none")
        n = int(len(good) * at)
        return good[:n] + bytes_ + good[n + len(bytes_) :]

    return make


def _named(*names: str) -> Callable[[], bytes]:
    columns = [pa.array(_texts("a"))] * len(names)
    return lambda: written(
        pa.table([*_columns().values(), *columns], ["prompt", "chosen", "rejected", *names])
    )


def _said(key: bytes, value: bytes) -> Callable[[], bytes]:
    return lambda: written(pa.table(_columns()).replace_schema_metadata({key: value}))


def _one_text_many_times() -> bytes:
    """A file of some hundred bytes whose rows have gigabytes."""
    long = pa.DictionaryArray.from_arrays(pa.array([0] * 8000, pa.int32()), ["x" * 1_000_000])
    return written({"prompt": long, "chosen": ["a"] * 8000, "rejected": ["b"] * 8000})


def _page_of_zeros() -> bytes:
    packed = {"prompt": ["x"], "chosen": [bytes(300 << 20)], "rejected": ["b"]}
    return written(packed, compression="zstd")


# name: (how it is made, what an import says of it; "" where it is taken, what inspect says of it)
PARQUET: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "integers": (_of(pa.array(range(_N))), "row 1: 'chosen' must be text, got int", ""),
    "floats": (_of(pa.array([float("nan")] * _N)), "row 1: 'chosen' must be text, got float", ""),
    "truths": (_of(pa.array([True] * _N)), "got bool", ""),
    "nulls": (_of(pa.nulls(_N)), "match no known form", ""),
    "null-texts": (_of(pa.nulls(_N, pa.string())), "match no known form", ""),
    "bytes": (_of(pa.array([b"\xff\x00"] * _N)), "got bytes", ""),
    "no-utf-8": (_of(_no_utf_8()), "Invalid UTF8", "Invalid UTF8"),
    "large-texts": (_of(pa.array(_texts("yes"), pa.large_string())), "", ""),
    "categories": (_of(pa.array(_texts("yes")).dictionary_encode()), "", ""),
    "decimals": (_of(pa.array([decimal.Decimal("1.5")] * _N)), "got Decimal", ""),
    "dates": (_of(pa.array([datetime.date(9999, 12, 31)] * _N)), "got date", ""),
    "times-out-of-range": (_of(pa.array([2**62] * _N, pa.timestamp("us"))), "out of range", "out of range"),
    "lists": (_of(pa.array([["a", None]] * _N)), "'chosen' is messages and", ""),
    "structs": (_of(pa.array([{"a": 1}] * _N)), "got dict", ""),
    "maps": (
        _of(pa.array([[("a", 1)]] * _N, pa.map_(pa.string(), pa.int32()))),
        "'chosen' is messages and",
        "",
    ),
    "vectors": (_of(pa.array([[0.5, 1.0]] * _N, pa.list_(pa.float32(), 2))), "'chosen' is messages and", ""),
    "nested": (_of(_nested(40)), "'chosen' is messages and", ""),
    "bad-messages": (
        _of(pa.array([[{"role": 3, "content": None}, None]] * _N)),
        "'chosen' is messages and",
        "",
    ),
    "no-rows": (lambda: written(pa.table(_columns()).slice(0, 0)), "has no rows", ""),
    "no-columns": (lambda: written(pa.table({})), "has no rows", ""),
    "column-twice": (_named("chosen"), "has 2 columns 'chosen'", ""),
    "thousands-of-columns": (_named(*(f"c{i}" for i in range(3000))), "", ""),
    "escapes-in-a-name": (_named(ESCAPES), "", ""),
    "no-name": (_named(""), "", ""),
    "long-name": (_named("n" * 1_000_000), "", ""),
    "setting-in-a-name": (_named("${oc.env:HOME}"), "", ""),
    "forged-arrow-schema": (
        _said(b"ARROW:schema", b"AAAA"),
        "not a readable Parquet file",
        "not a readable Parquet file",
    ),
    "forged-pandas-record": (_said(b"pandas", b"{"), "", ""),
    "long-record": (_said(b"x", b"x" * 3_000_000), "", ""),
    "many-row-groups": (lambda: written(_columns(), row_group_size=1), "", ""),
    "cut": (lambda: written(_columns())[:-100], "not a readable Parquet file", "not a readable Parquet file"),
    "damaged-first-page": (_damaged(0.02), "not a readable Parquet file", "not a readable Parquet file"),
    "damaged-text": (_damaged(0.2), "not a readable Parquet file", "not a readable Parquet file"),
    "damaged-footer": (_damaged(0.8), "not a readable Parquet file", "not a readable Parquet file"),
    "damaged-end": (
        _damaged(0.97, b"\xff\xff"),
        "not a readable Parquet file",
        "not a readable Parquet file",
    ),
    "one-text-many-times": (_one_text_many_times, "of memory", ""),
    "page-of-zeros": (_page_of_zeros, "more than a row may", "more than a row may"),
}
