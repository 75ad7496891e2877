"""Parquet files of strangers: opened only where what they declare is bounded, read in bounded pieces.

Bounds, all far from what honest files need: a page unpacks to 64 MiB, or to 200 times its bytes; a file of
more than a million rows has a byte for each 20; what is read of a file at once is 256 MiB, and in all 512 MiB
or 200 times its bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from struct import Struct
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from rmlab.errors import InputError
from rmlab.storage.parquet_pages import DELTA_BYTE_ARRAY, DICTIONARY, Chunk, Group, Page, pages, read_layout
from rmlab.storage.thrift import Damaged

UNPACKED = 2**29  # bytes that a file may unpack to, however small it is
TIMES = 200  # and how often its own bytes
AT_ONCE = 2**28
_PAGE = 2**26
_PIECE = 2**26  # bytes of rows that are handed on at once
_SMALL = 2**14  # bytes of a dictionary that is not worth a look
_ROWS = 2**20
_ROWS_A_BYTE = 20
_LISTED = 2**24  # values of the lists of a row group, beyond one for each row
# a large row group is read piece by piece, never held whole
_STREAMED = {"pre_buffer": False, "buffer_size": 1 << 20, "page_checksum_verification": True}
UNREADABLE = (
    pa.ArrowException,
    OSError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    OverflowError,
    MemoryError,
)


@contextmanager
def readable(path: Path, name: str | Path | None = None) -> Iterator[None]:
    """Whatever reading the file may raise becomes one line. name: what the line calls the file."""
    try:
        yield
    except InputError:
        raise
    except UNREADABLE as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise InputError(f"{name or path} is not a readable Parquet file ({reason})") from None


def check_file(path: Path, columns: Collection[str] | None = None) -> int:
    """Damaged where the file declares what is out of bounds; else how many of its rows may be read at once.

    columns: those that will be read; None for all.
    """
    layout = read_layout(path)
    if layout.rows > max(_ROWS, _ROWS_A_BYTE * layout.size):
        raise Damaged(f"it declares {layout.rows:,} rows in {layout.size:,} bytes")
    with path.open("rb") as file:
        longest = max((_longest_row(file, group, columns) for group in layout.groups), default=1)
    return max(1, AT_ONCE // max(1, longest))


def _longest_row(file: BinaryIO, group: Group, columns: Collection[str] | None) -> int:
    """Bytes that the texts of a row may have at most, where many rows could be as long; else 0."""
    shared = plain = plain_page = 0
    for chunk in group.chunks:
        if columns is not None and chunk.leaf.name not in columns:
            continue
        values = longest = 0
        for page in pages(file, chunk):
            _check_page(page)
            if page.kind != DICTIONARY:
                values += page.values
                plain += page.unpacked
                plain_page = max(plain_page, page.unpacked)
            if chunk.leaf.is_text and (page.kind == DICTIONARY or page.encoding == DELTA_BYTE_ARRAY):
                longest = max(longest, _longest_text(file, chunk, page))
        shared += longest
        if chunk.leaf.repeated and values > group.rows + max(_LISTED, TIMES * chunk.size):
            raise Damaged(f"column {chunk.leaf.name} declares {values:,} values in {chunk.size:,} bytes")
    return shared + (plain_page if plain > AT_ONCE else 0)


def _check_page(page: Page) -> None:
    if page.unpacked > max(_PAGE, TIMES * page.packed):
        raise Damaged(f"a page of {page.packed:,} bytes unpacks to {page.unpacked:,}")


def _longest_text(file: BinaryIO, chunk: Chunk, page: Page) -> int:
    """Bytes of the longest text that many rows may have: exact for a large dictionary."""
    if page.kind != DICTIONARY or page.unpacked <= _SMALL or page.unpacked > AT_ONCE:
        return page.unpacked
    file.seek(page.at)
    raw = file.read(page.packed)
    try:
        raw = (
            raw if chunk.codec is None else pa.Codec(chunk.codec).decompress(raw, page.unpacked, asbytes=True)
        )
    except (pa.ArrowException, OSError, ValueError):
        return page.unpacked
    at, longest, length_at = 0, 0, Struct("<I").unpack_from
    while at + 4 <= len(raw):  # each text stands behind its length
        (length,) = length_at(raw, at)
        longest = max(longest, length)
        at += 4 + length
    return min(longest, page.unpacked)


class Unpacked:
    """Counts the bytes that a file has been unpacked to; Damaged where these are out of bounds."""

    def __init__(self, path: Path) -> None:
        self._most = max(UNPACKED, TIMES * path.stat().st_size)
        self._n = 0

    def add(self, n: int) -> None:
        self._n += n
        if self._n > self._most:
            raise Damaged(f"it unpacks to more than {self._most:,} bytes, {TIMES} times what it has")


def _decoded(schema: pa.Schema) -> pa.Schema:
    """With plain values in place of dictionaries, whose size says nothing of what they stand for."""
    return pa.schema([pa.field(f.name, _plain(f.type)) for f in schema])


def _plain(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        make = pa.list_ if pa.types.is_list(kind) else pa.large_list
        return make(pa.field(kind.value_field.name, _plain(kind.value_type)))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(pa.field(kind.value_field.name, _plain(kind.value_type)), kind.list_size)
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(f.name, _plain(f.type)) for f in kind])
    return kind


def row_count(path: Path) -> int:
    return read_layout(path).rows


def column_names(path: Path) -> list[str]:
    read_layout(path)
    return list(pq.read_schema(path).names)


def batches(
    path: Path, columns: Sequence[str] | None, rows: int, read: Callable[[pa.Schema], None] | None = None
) -> Iterator[pa.RecordBatch]:
    """The file's rows, at most so many at a time. read: is shown the schema before any row is read."""
    most = check_file(path, columns)
    unpacked = Unpacked(path)
    with pq.ParquetFile(path, **_STREAMED) as file:
        if read is not None:
            read(file.schema_arrow)
        for found in file.iter_batches(min(rows, most), columns=columns):
            plain = _decoded(found.schema)
            # a batch without columns would lose its rows
            batch = found if plain == found.schema else found.cast(plain)
            unpacked.add(batch.nbytes)
            step = max(1, batch.num_rows * _PIECE // max(1, batch.nbytes))
            for start in range(0, batch.num_rows, step):
                yield batch.slice(start, step)
