"""Embeddings that exist already: from a Parquet file, or from arrays [prompts, responses, dim]."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rmlab.config.settings import TemplateName
from rmlab.data.forms.arrays import Arrays, open_arrays
from rmlab.data.reader import check_header
from rmlab.data.scales import dequantise, read_scales
from rmlab.embedders.base import Embedded, OpenEmbedder, Tick
from rmlab.errors import InputError
from rmlab.models.compute import Compute
from rmlab.models.text.rendering import Exchange
from rmlab.paths import home_path, user_path
from rmlab.storage.untrusted import open_table

_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class FileEmbedder:
    """path: Parquet rows of `response_id` and a vector of floats, in any order; or of int8, with `scales`.

    scales: Parquet rows of `dimension` and `scale`; a vector is its int8 values times these.
    test_path, test_scales: the same of the responses of another policy, on which heads are judged; read
    beside path, each file by its own scales.
    storage null: float16 where the file has it, else float32. The vectors are copied once into an unnamed
    file in `scratch`, out of which the rows of each shard are picked: memory never holds the set.
    """

    name: ClassVar[str] = "file"

    path: str = field(metadata={"source": True})
    scales: str | None = field(default=None, metadata={"source": True})
    column: str = "embedding"
    storage: Literal["float32", "float16"] | None = None
    scratch: str | None = field(default=None, metadata={"runtime": True})
    test_path: str | None = field(default=None, metadata={"source": True})
    test_scales: str | None = field(default=None, metadata={"source": True})

    def __post_init__(self) -> None:
        if self.test_scales is not None and self.test_path is None:
            raise ValueError("test_scales are of the vectors in test_path: give that too")

    def open(self, model: str, template: TemplateName, compute: Compute) -> OpenEmbedder:
        return _VectorFileSession(self)


class _VectorFileSession:
    template_hash = "file"

    def __init__(self, how: FileEmbedder) -> None:
        self.path = user_path(how.path)
        self.test_path = None if how.test_path is None else user_path(how.test_path)
        self.rows: dict[str, int] = {}
        self.dtype, self.dimension = np.dtype(np.float32), 0  # of the vectors as stored
        folder = home_path(how.scratch) if how.scratch else None
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as copy:
            self._copy(copy, self.path, how.scales, how)
            if self.test_path is not None:
                self._copy(copy, self.test_path, how.test_scales, how)
            copy.flush()
            self.map = mmap.mmap(copy.fileno(), 0, access=mmap.ACCESS_READ)
        self.vectors = np.frombuffer(self.map, self.dtype).reshape(-1, self.dimension)

    def _copy(self, copy: Any, path: Path, scales: str | None, how: FileEmbedder) -> None:
        """Every vector as it is stored, in the order of the file; those that are no numbers are counted."""
        odd: list[str] = []
        before = len(self.rows)
        scale = read_scales(user_path(scales)) if scales else None
        for ids, vectors in _batches(path, how.column, scale):
            stored, is_odd = _stored(vectors, how.storage, path, len(self.rows) - before + 1)
            odd += [ids[k] for k in np.flatnonzero(is_odd)]
            self._number(ids, path, before)
            copy.write(stored.data)
        if len(self.rows) == before:
            raise InputError(f"{path} has no rows")
        if odd:
            raise InputError(
                f"{path}: {len(odd)} embeddings hold NaN or infinity, the first that of response "
                f"{odd[0]}; embed them again, or leave their responses out"
            )
        if before and (stored.dtype, stored.shape[1]) != (self.dtype, self.dimension):
            raise InputError(
                f"{path} has vectors of {stored.shape[1]} values in {stored.dtype}, {self.path} of "
                f"{self.dimension} in {self.dtype}; embed both with one model, or set embedder.storage"
            )
        self.dtype, self.dimension = stored.dtype, stored.shape[1]

    def _number(self, ids: list[str], path: Path, before: int) -> None:
        """before: rows of the files that were read earlier."""
        for row, response_id in enumerate(ids, start=len(self.rows)):
            if (first := self.rows.setdefault(response_id, row)) != row:
                place = f"row {first - before + 1}" if first >= before else f"a row of {self.path}"
                raise InputError(f"{path}, row {row - before + 1}: response_id {response_id} repeats {place}")

    def check(self, response_ids: Sequence[str]) -> int:
        """The number of vectors that none of these responses asks for; InputError where one has no vector.

        With test_path it is 0: of both files a part is left over, as each has all prompts of its policy.
        """
        missing = [i for i in response_ids if i not in self.rows]
        if missing:
            raise InputError(
                f"{self.path}: no embedding for {len(missing)} of {len(response_ids)} responses, such as "
                f"{missing[0]}; the responses and the embeddings need the same response_id column"
            )
        return len(self.rows) - len(response_ids) if self.test_path is None else 0

    def embed(self, exchanges: Sequence[Exchange], tick: Tick) -> Embedded:
        """n_tokens is -1: the file does not say it."""
        ids = [e.response_id for e in exchanges]
        self.check(ids)
        rows = np.array([self.rows[i] for i in ids], dtype=np.int64)
        vectors = np.empty((len(rows), self.dimension), dtype=self.dtype)
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            vectors[part] = self.vectors[rows[part]]
            self.map.madvise(mmap.MADV_DONTNEED)  # pages that were read leave this process
        tick(len(ids), 0)
        return Embedded(vectors, np.full(len(ids), -1, dtype=np.int32), np.zeros(len(ids), dtype=bool))


def _batches(path: Path, column: str, scale: np.ndarray | None) -> Iterator[tuple[list[str], np.ndarray]]:
    """Ids and vectors [n, d], one batch of rows at a time; all vectors of a file are of one width.

    scale: [d] of vectors in int8, which are multiplied by it.
    """
    first, dimension = 1, 0
    with open_table(path, ["response_id", column], _ROWS_AT_ONCE) as found:
        _check_columns(found.schema, column, path, scale is not None)
        for batch in found:
            widths = _widths(batch[column])
            dimension = dimension or int(widths[0])
            for k in np.flatnonzero((widths != dimension) | (widths == 0))[:1]:
                has = f"{widths[k]} values where the first row has {dimension}" if widths[k] else "no vector"
                raise InputError(f"{path}, row {first + k}: '{column}' has {has}")
            flat = batch[column].flatten().to_numpy(zero_copy_only=False)
            vectors = _scaled(flat.reshape(-1, dimension), scale, path)
            ids = found.as_python(batch.select(["response_id"]))
            yield _ids(ids, path, first), vectors
            first += batch.num_rows


def _scaled(vectors: np.ndarray, scale: np.ndarray | None, path: Path) -> np.ndarray:
    if scale is None:
        return vectors
    if vectors.dtype != np.int8:  # there are nulls among them
        raise InputError(f"{path}: a vector of int8 holds null; write the set again")
    if vectors.shape[1] != len(scale):
        raise InputError(
            f"{path} has vectors of {vectors.shape[1]} values, but there are {len(scale)} scales"
        )
    return dequantise(vectors, scale)


def _check_columns(schema: pa.Schema, column: str, path: Path, is_scaled: bool) -> None:
    for name in ("response_id", column):
        if name not in schema.names:
            how = "" if name == "response_id" else "; name the vectors with embedder.column=..."
            raise InputError(f"{path} has no column '{name}', only {', '.join(schema.names)}{how}")
    check_header([name for name in schema.names if name in ("response_id", column)], path)
    kind = schema.field(column).type
    is_list = pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if is_list and pa.types.is_int8(kind.value_type) != is_scaled:
        hint = "has scales but is" if is_scaled else "is int8 and needs embedder.scales=...:"
        raise InputError(f"{path}: '{column}' {hint} {kind}")
    if not is_list or not (is_scaled or pa.types.is_floating(kind.value_type)):
        raise InputError(f"{path}: '{column}' is {kind}, not a list of float16, float32 or float64")


def _widths(column: pa.Array) -> np.ndarray:
    """[n] the number of values in each row's list, 0 where there is none."""
    return pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)


def _ids(rows: list[dict[str, Any]], path: Path, first: int) -> list[str]:
    ids = [row["response_id"] for row in rows]
    for k, response_id in enumerate(ids):
        if response_id is None or response_id == "":
            raise InputError(f"{path}, row {first + k}: no response_id")
    return [str(i) for i in ids]


def _stored(
    vectors: np.ndarray, storage: str | None, path: Path, first: int
) -> tuple[np.ndarray, np.ndarray]:
    """(vectors as stored, [n] which hold NaN or infinity); InputError where the storage is too narrow."""
    narrow = storage or ("float16" if vectors.dtype == np.float16 else "float32")
    with np.errstate(over="ignore"):
        stored = np.ascontiguousarray(vectors, dtype=narrow)
    is_odd = ~np.isfinite(stored).all(axis=1)
    if not is_odd.any():
        return stored, is_odd
    for k in np.flatnonzero(is_odd & np.isfinite(vectors).all(axis=1))[:1]:
        hint = "; use embedder.storage=float32" if narrow == "float16" else ""
        largest = np.abs(vectors[k]).max()
        raise InputError(f"{path}, row {first + k}: a value of {largest:.3g} does not fit {narrow}{hint}")
    return stored, is_odd


@dataclass(frozen=True)
class ArraysEmbedder:
    """path: the folder of the arrays. storage null: float16 where the arrays are, else float32."""

    name: ClassVar[str] = "arrays"

    path: str = field(metadata={"source": True})
    storage: Literal["float32", "float16"] | None = None

    def open(self, model: str, template: TemplateName, compute: Compute) -> OpenEmbedder:
        return _ArraysSession(open_arrays(user_path(self.path)))


class _ArraysSession:
    template_hash = "file"

    def __init__(self, arrays: Arrays) -> None:
        self.arrays, self.dimension = arrays, arrays.dimension
        kinds = {split.embeddings.dtype for split in arrays.splits.values()}
        self.dtype = np.float16 if kinds == {np.dtype(np.float16)} else np.float32

    def check(self, response_ids: Sequence[str]) -> int:
        """The number of vectors that none of these responses asks for; InputError where one has no vector."""
        missing = [i for i in response_ids if self.arrays.place(i) is None]
        if missing:
            raise InputError(
                f"{self.arrays.path}: no embedding for {len(missing)} of {len(response_ids)} responses, as "
                f"{missing[0]}; read prompts, responses and scores from this folder too"
            )
        return self.arrays.n_answers - len(response_ids)

    def embed(self, exchanges: Sequence[Exchange], tick: Tick) -> Embedded:
        """n_tokens is -1: the arrays do not say it."""
        self.check([e.response_id for e in exchanges])
        vectors = np.empty((len(exchanges), self.dimension), dtype=self.dtype)
        for row, exchange in enumerate(exchanges):
            name, i, j = self.arrays.place(exchange.response_id) or ("", 0, 0)
            vectors[row] = self.arrays.splits[name].embeddings[i, j]
        tick(len(exchanges), 0)
        return Embedded(
            vectors, np.full(len(exchanges), -1, dtype=np.int32), np.zeros(len(exchanges), dtype=bool)
        )
