"""The columns and pages of a Parquet file as its footer and page headers declare them.

Arrow takes for granted what a file declares: it sets aside the memory that a page says it needs, makes as
many values as a few bytes of levels call for, and ends the process over some damaged footers. So a file of a
stranger is looked through here first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from rmlab.storage.thrift import Damaged, Reader, Struct

DATA, DICTIONARY, DATA_V2 = 0, 2, 3  # kinds of pages
DELTA_BYTE_ARRAY = 7  # an encoding in which a text shares the beginning of the one before it
TEXT = 6  # the physical type of texts and bytes
_CODECS = {0: None, 1: "snappy", 2: "gzip", 3: "lzo", 4: "brotli", 5: "lz4_hadoop", 6: "zstd", 7: "lz4_raw"}
_REPEATED = 2
_MAGIC, _TAIL = b"PAR1", 8
_HEADER = 1 << 12  # bytes; statistics of long texts may need more, up to:
_LONG_HEADER = 1 << 24
_SCHEMA_DEEPEST = 32


@dataclass(frozen=True)
class Page:
    """packed, unpacked: bytes; at: where its bytes begin, after its header."""

    kind: int
    packed: int
    unpacked: int
    values: int
    encoding: int
    at: int


@dataclass(frozen=True)
class Leaf:
    """A column as stored; repeated: within a list, so that a row has any number of its values."""

    name: str  # of the column of the table, which may be nested
    is_text: bool
    repeated: bool


@dataclass(frozen=True)
class Chunk:
    """A leaf's values in a row group: so many bytes from `start` on."""

    leaf: Leaf
    start: int
    size: int
    values: int
    codec: str | None


@dataclass(frozen=True)
class Group:
    rows: int
    chunks: list[Chunk]


@dataclass(frozen=True)
class Layout:
    """size: of the file, in bytes."""

    size: int
    groups: list[Group] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return sum(group.rows for group in self.groups)


def read_layout(path: Path) -> Layout:
    """Damaged where the footer makes no sense."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _TAIL))
        tail = file.read(_TAIL)
        length = int.from_bytes(tail[:4], "little")
        if tail[4:] != _MAGIC or length + _TAIL + len(_MAGIC) > size:
            raise Damaged("it does not end as a Parquet file does")
        file.seek(size - _TAIL - length)
        footer = Reader(file.read(length)).struct()
    leaves = _leaves(_list(footer, 2))
    return Layout(size, [_group(group, leaves, size) for group in _list(footer, 4)])


def pages(file: BinaryIO, chunk: Chunk) -> Iterator[Page]:
    at, end = chunk.start, chunk.start + chunk.size
    if chunk.values == 0:  # an empty one need not say where it is
        return
    while at < end:
        header, length = _page_header(file, at)
        packed, unpacked = _int(header, 3), _int(header, 2)
        if packed < 0 or unpacked < 0:
            raise Damaged("a page has a size below 0")
        kind = _int(header, 1)
        about = header.get({DATA: 5, DICTIONARY: 7, DATA_V2: 8}.get(kind, 0), {})
        encoding = about.get(4 if kind == DATA_V2 else 2, 0) if isinstance(about, dict) else None
        values = about.get(1, 0) if isinstance(about, dict) else None
        if not isinstance(encoding, int) or not isinstance(values, int) or values < 0:
            raise Damaged("a page header makes no sense")
        yield Page(kind, packed, unpacked, values, encoding, at + length)
        at += length + packed


def _page_header(file: BinaryIO, at: int) -> tuple[Struct, int]:
    for most in (_HEADER, _LONG_HEADER):
        file.seek(at)
        reader = Reader(file.read(most))
        try:
            return reader.struct(), reader.at
        except Damaged:
            if most == _LONG_HEADER or len(reader.data) < most:
                raise
    raise AssertionError("unreachable")


def _leaves(schema: list[Struct]) -> list[Leaf]:
    """The leaves of the schema, which is a tree written out from the top."""
    found: list[Leaf] = []
    open_groups: list[tuple[int, str, bool]] = []  # children still to come, name of the column, repeated
    for i, element in enumerate(schema):
        children = element.get(5, 0)
        if not isinstance(children, int) or children < 0:
            raise Damaged("its schema makes no sense")
        name = _text(element.get(4)) if len(open_groups) <= 1 else open_groups[-1][1]
        repeated = element.get(3) == _REPEATED or (bool(open_groups) and open_groups[-1][2])
        if i > 0:
            if not open_groups:
                raise Damaged("its schema has more than one root")
            left, above, is_repeated = open_groups.pop()
            open_groups.append((left - 1, above, is_repeated))
            if children == 0:
                found.append(Leaf(name, element.get(1) == TEXT, repeated))
        if children:
            open_groups.append((children, name, repeated))
        if len(open_groups) > _SCHEMA_DEEPEST:
            raise Damaged(f"its columns are nested more than {_SCHEMA_DEEPEST} levels deep")
        while open_groups and open_groups[-1][0] == 0:
            open_groups.pop()
    if open_groups:
        raise Damaged("its schema ends too early")
    return found


def _group(group: Struct, leaves: list[Leaf], size: int) -> Group:
    columns = _list(group, 1)
    if len(columns) != len(leaves):
        raise Damaged("a row group has not as many columns as the schema")
    chunks = [_chunk(column.get(3), leaf, size) for column, leaf in zip(columns, leaves, strict=True)]
    rows = _int(group, 3)
    if rows < 0:
        raise Damaged("a row group has fewer than no rows")
    return Group(rows, chunks)


def _chunk(about: object, leaf: Leaf, size: int) -> Chunk:
    if not isinstance(about, dict):
        raise Damaged("a column says nothing of itself")
    start, packed, first = _int(about, 9), _int(about, 7), about.get(11, 0)
    if isinstance(first, int) and 0 < first < start:
        start = first
    codec = _int(about, 4)
    if codec not in _CODECS:
        raise Damaged(f"it is compressed in the unknown way {codec}")
    values = _int(about, 5)
    if start < 0 or packed < 0 or start + packed > size or values < 0:
        raise Damaged("a column lies outside the file")
    return Chunk(leaf, start, packed, values, _CODECS[codec])


def _list(struct: Struct, number: int) -> list[Struct]:
    found = struct.get(number)
    if not isinstance(found, list) or not all(isinstance(x, dict) for x in found):
        raise Damaged("its footer makes no sense")
    return found


def _int(struct: Struct, number: int) -> int:
    found = struct.get(number)
    if not isinstance(found, int):
        raise Damaged("a number is missing")
    return found


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""
