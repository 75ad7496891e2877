"""The process in which strangers' files are opened: `python -P -m rmlab.storage.untrusted_child KIND SOCKET`.

Arrow and torch believe what a file declares: a small file can make them fill the memory, or crash them. So
this process imports them once, and forks for every file. The fork may use MEMORY bytes more than it begins
with, and FILE_TIMES the size of the file, and it may write no file. It sends what it reads over a connection
of its own, whose other end is in untrusted.py: messages of JSON, some of which announce bytes that follow.

Where the system keeps no RLIMIT_AS (macOS), memory is bounded only by what is counted here, but a crash still
ends nothing but the fork.
"""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import socket
import sys
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute  # else every fork would import it, at its first cast
import pyarrow.parquet as pq

PARQUET, TENSOR = "parquet", "tensor"
MEMORY, FILE_TIMES = 2**30, 4
UNPACKED, TIMES = 2**29, 200  # a file may unpack to so many bytes, or to so many times its own
_ROWS, _ROWS_A_BYTE = 2**20, 20  # a file may have so many rows, or so many for each of its bytes
_PIECE, _ROW = 2**24, 2**26  # bytes that are sent at once, and that a single row may have
_VALUES = 2**22  # values in lists and structs that are sent at once, or that a single row may have


class Refused(Exception):
    """The message says what is wrong with the file, and follows its name."""


class TooMuch(ValueError):
    """A small file unpacks to more than it may."""


def check_unpacked(n: int, packed: int) -> None:
    """TooMuch where a file of `packed` bytes has unpacked to more than it may. n: bytes so far."""
    if n > (most := max(UNPACKED, TIMES * packed)):
        raise TooMuch(f"it unpacks to more than {most:,} bytes, {TIMES} times what it has")


def main(kind: str, descriptor: int) -> None:
    """Waits for connections over the socket, one for each file, until the other end closes it; then it ends,
    with forks that are still at a file."""
    os.set_inheritable(descriptor, False)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # forks are not waited for
    if kind == TENSOR:
        import torch  # noqa: F401 (the forks have it then)
    with socket.socket(fileno=descriptor) as waiting:
        while given := socket.recv_fds(waiting, 1, 1)[1]:
            if os.fork() == 0:
                try:
                    _answer(kind, Connection(given[0]))
                finally:
                    os._exit(0)
            os.close(given[0])
    os.killpg(0, signal.SIGKILL)


def _answer(kind: str, to: Connection) -> None:
    try:
        asked = json.loads(to.recv_bytes())
        _tell(to, _outcome(kind, to, asked))
    except (EOFError, ConnectionError):  # whoever asked wants no more
        pass


def _outcome(kind: str, to: Connection, asked: dict[str, Any]) -> dict[str, Any]:
    path, most = Path(asked["path"]), 0
    try:
        if path.exists() and not path.is_file():
            raise ValueError("it is no plain file")
        most = _limit(path.stat().st_size)
        if kind == TENSOR:
            _send_tensor(path, to)
        else:
            _send_parquet(path, to, asked["columns"], asked["rows"])
        return {"end": True}
    except ConnectionError:
        raise
    except MemoryError:
        return {"refused": f"cannot be read within {most:,} bytes of memory; write smaller rows"}
    except Refused as error:
        return {"refused": str(error)}
    except Exception as error:  # readers raise whatever a file makes them stumble over
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        return {"refused": f"is not a readable {kind.capitalize()} file ({reason}); write it again"}


def _limit(size: int) -> int:
    """Limits what this process may use from here on -> bytes."""
    most = MEMORY + FILE_TIMES * size
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    with suppress(OSError, ValueError):  # there is no /proc, or no such limit
        now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + most, now + most))
    return most


def _tell(to: Connection, message: dict[str, Any], data: Any = None) -> None:
    to.send_bytes(json.dumps(message).encode())
    if data is not None:
        to.send_bytes(data)


def _send_parquet(path: Path, to: Connection, columns: list[str] | None, rows: int) -> None:
    """The number of rows with the schema of all columns; then the rows with those columns that are asked for.

    columns: those of them that the file does not have are left out.
    """
    size = path.stat().st_size
    # Not buffered ahead: a large row group is read page by page, and never held whole.
    with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20, page_checksum_verification=True) as file:
        about, schema = file.metadata, _plain_schema(file.schema_arrow)
        if about.num_rows > max(_ROWS, _ROWS_A_BYTE * size):
            raise ValueError(f"it declares {about.num_rows:,} rows in {size:,} bytes")
        _tell(to, {"rows": about.num_rows}, schema.serialize())
        groups = [about.row_group(i) for i in range(about.num_row_groups)]
        row_bytes = sum(group.total_byte_size for group in groups) // max(1, about.num_rows)
        names = [n for n in schema.names if columns is None or n in columns]
        unpacked = 0
        for batch in file.iter_batches(
            max(1, min(rows, _ROW // max(1, row_bytes))), columns=names, use_threads=False
        ):
            for piece in _pieces(batch):
                unpacked += piece.nbytes
                check_unpacked(unpacked, size)
                _tell(to, {"piece": True}, _as_stream(piece))


def _pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The rows in pieces of bounded size, checked, and with plain values in place of dictionaries."""
    plain = _plain_schema(batch.schema)
    if plain != batch.schema:  # a batch without columns would lose its rows
        batch = batch.cast(plain)
    batch.validate(full=True)
    waiting = [batch]
    while waiting:
        piece = waiting.pop()
        n, n_bytes, n_values = piece.num_rows, piece.nbytes, sum(map(_values, piece.columns))
        if n > 1 and (n_bytes > _PIECE or n_values > _VALUES):
            waiting += [piece.slice(n // 2), piece.slice(0, n // 2)]
        elif n_bytes > _ROW or n_values > _VALUES:
            raise ValueError(f"a row has {n_bytes:,} bytes and {n_values:,} values, more than a row may")
        else:
            yield piece


def _values(column: pa.Array) -> int:
    """The number of values, those in lists and structs included: even nulls take memory in Python."""
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return len(column) + _values(column.flatten())
    if pa.types.is_struct(kind):
        return len(column) + sum(map(_values, column.flatten()))
    return len(column)


def _as_stream(batch: pa.RecordBatch) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return sink.getvalue()


def _plain_schema(schema: pa.Schema) -> pa.Schema:
    return pa.schema([pa.field(f.name, _plain(f.type)) for f in schema])


def _plain(kind: pa.DataType) -> pa.DataType:
    """The type without dictionaries, whose size says nothing of what they stand for, and without maps."""
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    if pa.types.is_map(kind):
        kind = pa.list_(pa.struct([kind.key_field, kind.item_field]))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        make = pa.list_ if pa.types.is_list(kind) else pa.large_list
        return make(pa.field(kind.value_field.name, _plain(kind.value_type)))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(pa.field(kind.value_field.name, _plain(kind.value_type)), kind.list_size)
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(f.name, _plain(f.type)) for f in kind])
    return kind


def _send_tensor(path: Path, to: Connection) -> None:
    """The type and shape of the one tensor in a `.pt` file; then its bytes.

    This is the one place where rmlab reads a pickle: the study's public code keeps its embeddings so.
    weights_only is torch's restricted reader: it builds tensors and plain containers, refuses every other
    name that the file asks for, and so runs nothing of it (before torch 2.6 it could be made to; rmlab needs
    2.11).
    """
    import torch

    size = path.stat().st_size
    if zipfile.is_zipfile(path):  # older versions of torch wrote no zip
        with zipfile.ZipFile(path) as packed:
            if sum(part.file_size for part in packed.infolist()) > size:  # torch packs nothing
                raise Refused("unpacks to more than it has; write it with torch.save(tensor, path)")
    try:
        # no pickle of a stranger is run: weights_only, as told above
        found: Any = torch.load(io.FileIO(path), map_location="cpu", weights_only=True)
    except Exception:  # its own words would advise to read the file without that
        raise Refused("is not a plain tensor; write it with torch.save(tensor, path)") from None
    if not isinstance(found, torch.Tensor):
        raise Refused(f"holds a {type(found).__name__}, not one tensor")
    try:
        if found.numel() * found.element_size() > size:
            raise Refused(f"declares {found.numel():,} values and has not as many; save them all")
        found = found.detach().contiguous()
        array = (found.float() if found.dtype == torch.bfloat16 else found).numpy()
    except (RuntimeError, TypeError, NotImplementedError):
        raise Refused(f"holds a tensor of {found.layout}, not of plain numbers") from None
    _tell(to, {"dtype": array.dtype.str, "shape": array.shape})
    data = memoryview(array.reshape(-1).view(np.uint8))
    for start in range(0, len(data), _PIECE):
        _tell(to, {"piece": True}, data[start : start + _PIECE])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
