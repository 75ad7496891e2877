"""Embeddings by row of a list of responses, wherever they lie: in an artifact, or mapped from a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rmlab.artifacts.artifact import Artifact
from rmlab.artifacts.files import count_rows, read_schema, stream_parquet
from rmlab.errors import InputError

ROWS_AT_ONCE = 8192


class Vectors(Protocol):
    """m embeddings of width d, in the order of some list of responses."""

    def rows(self, rows: np.ndarray) -> np.ndarray:
        """rows: [k] -> [k, d] float32."""
        ...

    def blocks(self, wanted: np.ndarray | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(rows [b], x [b, d] float32), every row once, in whatever order is quick; wanted: [m] bool."""
        ...


@dataclass(frozen=True, eq=False)
class StreamedVectors:
    """Read from an artifact a block at a time, so that a set may be larger than memory. ids: [m]."""

    artifact: Artifact
    ids: np.ndarray

    @property
    def storage(self) -> str:
        """float16 or float32."""
        kind = read_schema(self.artifact.parts[0]).field("embedding").type.value_type
        return "float16" if pa.types.is_float16(kind) else "float32"

    @cached_property
    def _row(self) -> np.ndarray:
        """[all rows of the artifact] the row in ids, -1 where it is not asked for."""
        known = self.artifact.read(columns=["response_id"])["response_id"]
        place = pc.fill_null(pc.index_in(known, value_set=pa.array(self.ids, known.type)), -1)
        found = place.to_numpy().astype(np.int64)
        missing = np.ones(len(self.ids), dtype=bool)
        missing[found[found >= 0]] = False
        if missing.any():
            n = int(missing.sum())
            raise InputError(f"{self.artifact.path}: no embedding for {n} responses; run `rmlab embed` again")
        return found

    def rows(self, rows: np.ndarray) -> np.ndarray:
        wanted = np.zeros(len(self.ids), dtype=bool)
        wanted[rows] = True
        place = np.cumsum(wanted) - 1  # of a wanted row among the wanted
        out: np.ndarray | None = None
        for target, x in self.blocks(wanted):
            if out is None:
                out = np.empty((int(wanted.sum()), x.shape[1]), dtype=np.float32)
            out[place[target]] = x
        if out is None:
            raise InputError(f"{self.artifact.path} has no embeddings; run `rmlab embed` again")
        return out if np.array_equal(rows, np.flatnonzero(wanted)) else out[place[rows]]

    def blocks(self, wanted: np.ndarray | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        chosen = self._row >= 0 if wanted is None else (self._row >= 0) & wanted[self._row]
        first = 0
        for part in self.artifact.parts:
            last = first + count_rows(part)
            if chosen[first:last].any():
                yield from self._part(part, chosen[first:last], self._row[first:last])
            first = last

    def _part(
        self, part: Path, chosen: np.ndarray, row: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        first = 0
        for column in stream_parquet(part, "embedding", ROWS_AT_ONCE):
            here = slice(first, first + len(column))
            first += len(column)
            kept = np.flatnonzero(chosen[here])
            if len(kept):
                yield row[here][kept], matrix(column)[kept].astype(np.float32)


def matrix(column: pa.FixedSizeListArray) -> np.ndarray:
    """A column of fixed-size lists as [n, d]; flatten() minds the offset of a slice, values would not."""
    return column.flatten().to_numpy().reshape(-1, column.type.list_size)


@dataclass(frozen=True, eq=False)
class MappedVectors:
    """Read from a .npy file that all processes map into memory, the system keeping one copy of it."""

    file: Path
    chosen: np.ndarray | None = None  # rows of the file that count; None: all

    @cached_property
    def _x(self) -> np.ndarray:
        return np.load(self.file, mmap_mode="r")

    def of(self, mask: np.ndarray) -> MappedVectors:
        """Those of a part of the responses. mask: [m] bool."""
        return MappedVectors(self.file, np.flatnonzero(mask))

    def rows(self, rows: np.ndarray) -> np.ndarray:
        at = rows if self.chosen is None else self.chosen[rows]
        return self._x[at].astype(np.float32, copy=False)

    def blocks(self, wanted: np.ndarray | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        m = len(self._x) if self.chosen is None else len(self.chosen)
        rows = np.arange(m) if wanted is None else np.flatnonzero(wanted)
        for start in range(0, len(rows), ROWS_AT_ONCE):
            block = rows[start : start + ROWS_AT_ONCE]
            yield block, self.rows(block)


def map_vectors(vectors: StreamedVectors, n: int, file: Path) -> MappedVectors:
    """Writes n embeddings to a .npy file as wide as they are stored, for many processes to share."""
    mapped: np.ndarray | None = None
    for rows, x in vectors.blocks():
        if mapped is None:
            shape, dtype = (n, x.shape[1]), vectors.storage
            mapped = np.lib.format.open_memmap(file, "w+", dtype=dtype, shape=shape)
        mapped[rows] = x
    if mapped is None:
        raise InputError("there are no embeddings; run `rmlab embed` again")
    mapped.flush()  # type: ignore[attr-defined]
    return MappedVectors(file)
