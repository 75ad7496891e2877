"""Embeddings by row of a list of responses, wherever they lie: in an artifact, or mapped from a file."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import torch

from rmlab.errors import InputError
from rmlab.removal import replace_file
from rmlab.responses.table import rows_by_part
from rmlab.storage.artifact import Artifact
from rmlab.storage.files import read_schema, rows_by_group, stream_parquet

ROWS_AT_ONCE = 8192
ROWS_IN_CACHE = 1024  # of width 2048 they are 8 MB, which products find in the processor's cache
PLACES = 8  # that a sample is read from
SMALL = 2**31  # bytes of vectors that are mapped as float32 however they are stored: reading is quicker


Block = tuple[np.ndarray, np.ndarray]  # rows [b] and x [b, d] float32
Piece = Callable[[], Iterator[Block]]


class Vectors(Protocol):
    """m embeddings of width d, in the order of some list of responses."""

    def rows(self, rows: np.ndarray) -> np.ndarray:
        """rows: [k] -> [k, d] float32."""
        ...

    def blocks(self, wanted: np.ndarray | None = None) -> Iterator[Block]:
        """Every row once, in whatever order is quick; wanted: [m] bool."""
        ...

    def pieces(self, wanted: np.ndarray | None = None) -> list[Piece]:
        """The same rows in parts that threads can read side by side, in blocks that fit the processor's
        cache."""
        ...

    def sample(self, wanted: np.ndarray, n: int) -> np.ndarray:
        """wanted: [m] bool -> about n of these rows, [b, d] float32, without reading all."""
        ...


def vector_type(embed: Artifact) -> pa.FixedSizeListType:
    """Width and numbers of the vectors; InputError unless they are the same in all parts."""
    first, *others = [read_schema(part).field("embedding").type for part in embed.parts]
    for part, other in zip(embed.parts[1:], others, strict=True):
        if other != first:
            raise InputError(
                f"{part} has {_shape(other)}, but the parts before it {_shape(first)}; "
                "run `rmlab embed` again with --force"
            )
    return first


@dataclass(frozen=True, eq=False)
class StreamedVectors:
    """Read from an artifact a block at a time, so that a set may be larger than memory. ids: [m]."""

    artifact: Artifact
    ids: pa.Array

    @property
    def storage(self) -> str:
        """float16 or float32."""
        return _kind(self._type)

    @cached_property
    def _type(self) -> pa.FixedSizeListType:
        return vector_type(self.artifact)

    @cached_property
    def _row(self) -> list[np.ndarray]:
        return rows_by_part(self.ids, self.artifact, f"{self.artifact.path}: no embedding for")

    def rows(self, rows: np.ndarray) -> np.ndarray:
        some, out = np.unique(rows), None
        wanted = np.zeros(len(self.ids), dtype=bool)
        wanted[some] = True
        for target, x in self.blocks(wanted):
            if out is None:
                out = np.empty((len(some), x.shape[1]), dtype=np.float32)
            out[np.searchsorted(some, target)] = x
        if out is None:
            raise InputError(f"{self.artifact.path} has no embeddings; run `rmlab embed` again")
        return out if np.array_equal(rows, some) else out[np.searchsorted(some, rows)]

    def blocks(self, wanted: np.ndarray | None = None) -> Iterator[Block]:
        return itertools.chain.from_iterable(piece() for piece in self._pieces(wanted, ROWS_AT_ONCE))

    def pieces(self, wanted: np.ndarray | None = None) -> list[Piece]:
        return self._pieces(wanted, ROWS_IN_CACHE)

    def _pieces(self, wanted: np.ndarray | None, size: int) -> list[Piece]:
        """A piece has the blocks, of `size` rows each, that begin in one row group.

        Blocks are counted from the first wanted row, whatever parts and row groups they lie in: products
        of a block do not depend on how the artifact was cut.
        """
        groups = self._groups(wanted)
        found: list[Piece] = []
        before = 0
        for k, group in enumerate(groups):
            begun = -before % size  # rows of a block that begins in an earlier group
            if begun < group.n_wanted:
                n = -(-(group.n_wanted - begun) // size)
                found.append(partial(_blocks, groups, k, begun, n, size))
            before += group.n_wanted
        return found

    def _groups(self, wanted: np.ndarray | None) -> list[_Group]:
        parts = zip(self.artifact.parts, self._row, strict=True)
        _ = self._type  # parts that do not go together are refused before anything is read
        return [group for part, row in parts for group in _groups(part, row, wanted)]

    def sample(self, wanted: np.ndarray, n: int) -> np.ndarray:
        """Runs of rows from a few places, which are spread over the wanted ones.

        Where there are as many row groups as places, a run begins with a group: what is before it there would
        be read as well.
        """
        rows = np.flatnonzero(wanted)
        run = max(1, n // PLACES)
        if len(rows) <= run * PLACES:
            return self.rows(rows)
        groups = [group for group in self._groups(wanted) if group.n_wanted >= run]
        if len(groups) < PLACES:
            starts = np.linspace(0, len(rows) - run, PLACES).astype(int)
            return self.rows(rows[np.unique(starts[:, None] + np.arange(run))])
        spread = np.linspace(0, len(groups) - 1, PLACES).astype(int)
        return np.concatenate([next(_blocks(groups, k, 0, 1, run))[1] for k in spread])


@dataclass(frozen=True, eq=False)
class _Asked:
    """row: [n] as in ids, -1 for rows of the artifact that are not there; wanted: [m] of ids, None: all."""

    row: np.ndarray
    wanted: np.ndarray | None

    @property
    def mask(self) -> np.ndarray:
        """[n] bool"""
        found = self.row >= 0
        if self.wanted is not None:
            found[found] = self.wanted[self.row[found]]
        return found


@dataclass(frozen=True, eq=False)
class _Group:
    """A row group of a part."""

    part: Path
    number: int
    asked: _Asked
    n_wanted: int


def _groups(part: Path, row: np.ndarray, wanted: np.ndarray | None) -> Iterator[_Group]:
    """The row groups that hold wanted rows."""
    first = 0
    for number, n in enumerate(rows_by_group(part)):
        asked = _Asked(row[first : first + n], wanted)
        first += n
        if n_wanted := int(np.count_nonzero(asked.mask)):
            yield _Group(part, number, asked, n_wanted)


def _blocks(groups: Sequence[_Group], first: int, skip: int, n: int, size: int) -> Iterator[Block]:
    """n blocks of `size` rows, from the wanted row number `skip` of group number `first`; the last of all may
    be short."""
    rows: list[np.ndarray] = []
    x, filled = np.empty((0, 0), dtype=np.float32), 0
    read = (_read_group(group, size) for group in itertools.islice(groups, first, None))
    for found, stored in itertools.chain.from_iterable(read):
        at, skip = min(skip, len(found)), max(0, skip - len(found))
        while at < len(found):
            if not filled:
                rows, x = [], np.empty((size, stored.shape[1]), dtype=np.float32)
            more = slice(at, at + size - filled)
            rows.append(found[more])
            here = slice(filled, filled + len(rows[-1]))
            torch.from_numpy(x[here]).copy_(stored[more])
            at, filled = more.stop, here.stop
            if filled == size:
                yield np.concatenate(rows), x
                filled, n = 0, n - 1
                if n == 0:
                    return
    if filled:
        yield np.concatenate(rows), x[:filled]


def _read_group(group: _Group, size: int) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
    """Its wanted rows [b] and their vectors [b, d] as they are stored, up to the last of them."""
    row, mask = group.asked.row, group.asked.mask
    first, last = 0, int(np.flatnonzero(mask)[-1])
    for column in stream_parquet(group.part, group.number, "embedding", size):
        kept = np.flatnonzero(mask[first : first + len(column)])
        if len(kept):
            x = torch.from_dlpack(column.flatten()).view(len(column), -1)
            yield row[first + kept], x if len(kept) == len(column) else x[torch.from_numpy(kept)]
        first += len(column)
        if first > last:
            return


def as_float32(x: np.ndarray) -> np.ndarray:
    """x as it is, or a copy by torch, which is 20 times as quick as numpy from float16."""
    return x if x.dtype == np.float32 else torch.from_numpy(x).float().numpy()


def _shape(vectors: pa.FixedSizeListType) -> str:
    return f"vectors of {vectors.list_size} {_kind(vectors)} numbers"


def _kind(vectors: pa.FixedSizeListType) -> str:
    return "float16" if pa.types.is_float16(vectors.value_type) else "float32"


def matrix(column: pa.FixedSizeListArray) -> np.ndarray:
    """A column of fixed-size lists as [n, d]; flatten() minds the offset of a slice, values would not."""
    return column.flatten().to_numpy().reshape(-1, column.type.list_size)


@dataclass(frozen=True, eq=False)
class MappedVectors:
    """Read from a .npy file that all processes map into memory, the system keeping one copy of it.

    It is mapped anew for each reading: what was read before does not count as memory of this process.
    """

    file: Path
    chosen: np.ndarray | None = None  # rows of the file that count; None: all

    def of(self, mask: np.ndarray) -> MappedVectors:
        """The vectors of a part of the responses. mask: [m] bool."""
        return MappedVectors(self.file, np.flatnonzero(mask))

    def rows(self, rows: np.ndarray) -> np.ndarray:
        return self._take(self._mapped(), rows)

    def blocks(self, wanted: np.ndarray | None = None) -> Iterator[Block]:
        return self._blocks(wanted, ROWS_AT_ONCE)

    def pieces(self, wanted: np.ndarray | None = None) -> list[Piece]:
        return [partial(self._blocks, wanted, ROWS_IN_CACHE)]

    def _blocks(self, wanted: np.ndarray | None, size: int) -> Iterator[Block]:
        x = self._mapped()
        m = len(x) if self.chosen is None else len(self.chosen)
        rows = np.arange(m) if wanted is None else np.flatnonzero(wanted)
        for start in range(0, len(rows), size):
            block = rows[start : start + size]
            yield block, self._take(x, block)

    def sample(self, wanted: np.ndarray, n: int) -> np.ndarray:
        return self.rows(np.flatnonzero(wanted)[:n])

    def _mapped(self) -> np.ndarray:
        return np.load(self.file, mmap_mode="r")

    def _take(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """A copy of some rows of the mapped file x, as plain memory."""
        at = rows if self.chosen is None else self.chosen[rows]
        return as_float32(np.asarray(x)[at])


def _reserve(file: Path) -> None:
    """Takes all room of the file on the disk at once.

    Where the disk is full this is an error; a later write through the map would end the process by a signal.
    """
    if hasattr(os, "posix_fallocate"):  # macOS does not have it
        with file.open("r+b") as opened:
            os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)


def map_vectors(vectors: StreamedVectors, n: int, file: Path) -> MappedVectors:
    """Writes n embeddings to a .npy file for many processes to share.

    The file appears once it is whole.
    """
    mapped: np.ndarray | None = None
    unfinished = file.with_name(f".{file.name}.tmp")
    for rows, x in vectors.blocks():
        if mapped is None:
            shape = (n, x.shape[1])
            dtype = "float32" if x.itemsize * n * x.shape[1] <= SMALL else vectors.storage
            mapped = np.lib.format.open_memmap(unfinished, "w+", dtype=dtype, shape=shape)
            _reserve(unfinished)
        mapped[rows] = x
    if mapped is None:
        raise InputError("there are no embeddings; run `rmlab embed` again")
    mapped.flush()  # type: ignore[attr-defined]
    replace_file(unfinished, file)
    return MappedVectors(file)
