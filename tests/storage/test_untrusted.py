"""Parquet files as strangers write them: the honest ones in full, the others refused by what they declare."""

from __future__ import annotations

import datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rmlab.errors import InputError
from rmlab.storage.parquet_pages import DICTIONARY, pages, read_layout
from rmlab.storage.thrift import Damaged, Reader
from rmlab.storage.untrusted import AT_ONCE, batches, check_file, readable

MESSAGES = [
    [{"role": "user", "content": f"question {k}"}, {"role": "user", "content": "?"}] for k in range(3000)
]
HONEST = pa.table(
    {
        "id": [f"row-{k}" for k in range(3000)],
        "text": [f"some words {k % 7}" for k in range(3000)],
        "messages": MESSAGES,
        "vector": pa.array(
            np.arange(6000, dtype=np.float32).reshape(3000, 2).tolist(), pa.list_(pa.float32(), 2)
        ),
        "when": [datetime.datetime(2020, 1, 1)] * 3000,
        "gone": pa.nulls(3000, pa.string()),
        "group": pa.array(["a", "b", "c"] * 1000).dictionary_encode(),
    }
)
WAYS = {
    "as it comes": {},
    "many groups": {"row_group_size": 100},
    "v2 pages": {"data_page_version": "2.0", "compression": "zstd"},
    "plain": {"use_dictionary": False, "compression": "none"},
    "gzip": {"compression": "gzip", "data_page_size": 100},
    "lz4": {"compression": "lz4"},
    "brotli": {"compression": "brotli"},
    "delta": {
        "use_dictionary": False,
        "column_encoding": {"id": "DELTA_BYTE_ARRAY", "text": "DELTA_LENGTH_BYTE_ARRAY"},
    },
    "index": {"write_page_index": True, "write_page_checksum": True},
    "no statistics": {"write_statistics": False, "store_schema": False},
}


@pytest.mark.parametrize("way", WAYS)
def test_an_honest_file_is_read_in_full(tmp_path, way):
    path = tmp_path / "a.parquet"
    pq.write_table(HONEST, path, **WAYS[way])
    found = pa.Table.from_batches(batches(path, None, 1000))
    assert found.drop_columns("group").to_pylist() == HONEST.drop_columns("group").to_pylist()
    assert found["group"].to_pylist() == HONEST["group"].to_pylist()
    assert check_file(path) >= 4096  # no honest file is read in smaller pieces


def test_the_layout_is_what_arrow_knows(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(HONEST, path, row_group_size=1000, compression="zstd")
    layout, known = read_layout(path), pq.read_metadata(path)
    assert [g.rows for g in layout.groups] == [1000] * 3 and layout.rows == known.num_rows
    for i, group in enumerate(layout.groups):
        for j, chunk in enumerate(group.chunks):
            column = known.row_group(i).column(j)
            assert chunk.size == column.total_compressed_size and chunk.values == column.num_values
            assert column.path_in_schema.split(".")[0] == chunk.leaf.name
            with path.open("rb") as file:
                found = list(pages(file, chunk))
            assert sum(p.values for p in found if p.kind != DICTIONARY) == column.num_values
            assert (found[0].kind == DICTIONARY) == column.has_dictionary_page


def test_an_empty_table_and_one_without_columns(tmp_path):
    for name, table in {"rows": HONEST.slice(0, 0), "columns": pa.table({})}.items():
        pq.write_table(table, tmp_path / name)
        assert sum(b.num_rows for b in batches(tmp_path / name, None, 10)) == 0


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x1c" * 100,
        b"\x19\xff\xff\xff\xff\x7f",
        b"\xf5" + b"\xff" * 20,
        b"\x18\xff\xff\x03",
        b"\x1d\x00",
        b"\x15",
    ],
)
def test_what_is_no_thrift_is_damaged(data):
    with pytest.raises(Damaged):
        Reader(data).struct()


def test_a_long_text_in_a_dictionary_bounds_the_rows_at_once(tmp_path):
    """Exactly: a dictionary of many short texts, as large in all, bounds nothing."""
    long, short = tmp_path / "long.parquet", tmp_path / "short.parquet"
    many = pa.DictionaryArray.from_arrays(np.arange(2000, dtype=np.int32) % 2, ["x" * 1_000_000, "y"])
    pq.write_table(pa.table({"t": many}), long, dictionary_pagesize_limit=2**30)
    pq.write_table(
        pa.table({"t": [f"{k:020}" for k in range(40_000)]}), short, dictionary_pagesize_limit=2**30
    )
    assert check_file(long) == AT_ONCE // 1_000_000
    assert check_file(short) > 100_000
    assert check_file(long, columns=["other"]) > 1_000_000


def test_a_footer_of_nonsense_is_one_line(tmp_path):
    pq.write_table(HONEST, tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    length = int.from_bytes(whole[-8:-4], "little")
    for at in range(0, length, 37):
        spoilt = bytearray(whole)
        spoilt[-9 - at] ^= 0x5A
        (tmp_path / "b.parquet").write_bytes(spoilt)
        try:
            with readable(tmp_path / "b.parquet"):
                list(batches(tmp_path / "b.parquet", None, 4096))
        except InputError as error:
            assert "b.parquet is not a readable Parquet file" in str(error)
