"""Files are written beside their place and renamed into it; small files of others are read within
bounds."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rmlab import removal
from rmlab.errors import InputError
from rmlab.machine import label


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path; renames it to `path` at the end, removes it on any failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{label()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        removal.replace_file(temporary, path)
    except BaseException:
        removal.remove_file(temporary)
        raise


def write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    write_text(path, json_text(plain(value)))


def json_text(value: Any) -> str:
    """The JSON text of a value that plain() returned."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def plain(value: Any) -> Any:
    """The value as JSON holds it: NaN and infinity are null, numpy's numbers Python's; surrogates are ?."""
    if isinstance(value, dict):
        return {plain(str(k)): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_parquet(path: Path, table: pa.Table) -> None:
    """Page checksums always; vectors plain, since a dictionary or compression mostly slows their reading.

    Vectors of 8-bit integers are compressed all the same: Parquet has four bytes for each.
    """
    with replacing(path) as temporary:
        pq.write_table(table, temporary, row_group_size=_rows_per_group(table), **_storage(table.schema))


@contextmanager
def parquet_pieces(path: Path, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    """Yields a function that appends tables to the file, each a row group; stored as by write_parquet."""
    with replacing(path) as temporary, pq.ParquetWriter(temporary, schema, **_storage(schema)) as file:
        yield file.write_table


def _storage(schema: pa.Schema) -> dict[str, Any]:
    vectors = [f.name for f in schema if pa.types.is_fixed_size_list(f.type)]
    stored = [name for name in vectors if pa.types.is_floating(schema.field(name).type.value_type)]
    plain = [f.name for f in schema if f.name not in vectors]
    return {
        "use_dictionary": plain,
        "write_statistics": plain,
        "compression": {leaf: "none" if leaf.split(".")[0] in stored else "zstd" for leaf in _leaves(schema)},
        "write_page_checksum": True,
    }


def _leaves(schema: pa.Schema) -> list[str]:
    """Parquet's own names of the columns, such as messages.list.element.role."""
    empty = pa.BufferOutputStream()
    pq.write_metadata(schema, empty)
    columns = pq.read_metadata(pa.BufferReader(empty.getvalue())).schema
    return [columns.column(i).path for i in range(len(columns))]


def _rows_per_group(table: pa.Table) -> int:
    """Row groups of about 64 MB."""
    width = max(1, table.nbytes // max(1, table.num_rows))
    return max(1, min(1_000_000, 64_000_000 // width))


def read_parquet(
    path: Path, columns: list[str] | None = None, where: pc.Expression | None = None
) -> pa.Table:
    """Reads a table with its page checksums verified. where: the rows to keep; others are not held."""
    try:
        if where is not None:
            return _chosen(path, columns, where)
        return pq.read_table(
            path, columns=columns, page_checksum_verification=True, partitioning=None
        ).replace_schema_metadata(None)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except (pa.ArrowException, OSError, KeyError) as error:
        raise _unreadable(path, error) from None


def _chosen(path: Path, columns: list[str] | None, where: pc.Expression) -> pa.Table:
    """Some rows of a table, a batch at a time. where: asks only for columns that are read."""
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        schema = file.schema_arrow.remove_metadata()
        read = schema if columns is None else pa.schema([schema.field(name) for name in columns])
        batches = file.iter_batches(columns=columns, use_threads=False)
        found = [pa.Table.from_batches([batch]).filter(where) for batch in batches]
        return pa.concat_tables([read.empty_table(), *(t.replace_schema_metadata(None) for t in found)])


def read_schema(path: Path) -> pa.Schema:
    try:
        return pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from None


def rows_by_group(path: Path) -> list[int]:
    """Rows of each row group."""
    try:
        metadata = pq.read_metadata(path)
        return [int(metadata.row_group(i).num_rows) for i in range(metadata.num_row_groups)]
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from None


def stream_parquet(path: Path, group: int, column: str, rows: int) -> Iterator[pa.Array]:
    """One column of one row group, at most so many rows at a time, with its page checksums verified."""
    try:
        # Mapped and not read ahead: a whole row group would be held otherwise.
        with pq.ParquetFile(path, page_checksum_verification=True, memory_map=True, pre_buffer=False) as file:
            for batch in file.iter_batches(rows, row_groups=[group], columns=[column], use_threads=False):
                yield batch.column(0)
    except (pa.ArrowException, OSError, KeyError, IndexError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> InputError:
    """A table of an artifact can be made again; one of the user's own cannot."""
    reason = (str(error).splitlines() or [type(error).__name__])[0][:300]
    is_ours = (path.parent / "manifest.json").is_file()
    how = f"mend it: rmlab verify --repair {path.parent}" if is_ours else "write it again"
    return InputError(f"{path} cannot be read ({reason}); {how}")


_WITHHELD = {errno.EACCES, errno.EPERM, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN}


def is_withheld(error: OSError) -> bool:
    """True if the system does not give a file to this process now, which may well be whole."""
    return error.errno in _WITHHELD


LARGEST = 2**28  # bytes of a file that is read whole
DEEPEST = 100  # levels of lists and objects in JSON


def read_plain_text(file: Path) -> str:
    """Reads a UTF-8 file; OSError or ValueError with the reason if it cannot. Pipes are refused."""
    if file.exists() and not file.is_file():
        raise ValueError("it is no plain file")
    if (size := file.stat().st_size) > LARGEST:
        raise ValueError(f"it has {size:,} bytes, more than {LARGEST:,}")
    return file.read_text(encoding="utf-8")


def parse_json(text: str) -> Any:
    """Parses JSON; ValueError if it is malformed, has a key twice, or is nested so deep that recursion could
    overflow."""
    try:
        found = _DECODER.decode(text)
    except RecursionError:
        raise ValueError(f"it is nested more than {DEEPEST} levels deep") from None
    # Only texts with many brackets are checked, so that short rows cost nothing.
    if len(text) > 2 * DEEPEST and text.count("[") + text.count("{") > DEEPEST and not is_shallow(found):
        raise ValueError(f"it is nested more than {DEEPEST} levels deep")
    return found


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Makes an object of JSON; ValueError if it has a key twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        name = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"it has the key {name[:100]!r} twice; keep one of them")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=unique_keys)


def is_shallow(value: Any) -> bool:
    """Tells whether a value is nested no deeper than JSON of others may be."""
    level = [value]
    for _ in range(DEEPEST + 1):
        parts = [v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list)]
        level = [child for part in parts for child in part]
        if not level:
            return True
    return False
