"""Parquet files as strangers write them: read in a child process, whose death or refusal is one line."""

from __future__ import annotations

import datetime
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rmlab.errors import InputError
from rmlab.storage.untrusted import child_of, open_table
from rmlab.storage.untrusted_bounds import TABLE

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
    with open_table(path, rows=1000) as found:
        assert found.rows == 3000 and found.schema.names == HONEST.column_names
        batches = list(found)
    assert {batch.num_rows for batch in batches} <= {1000, 100}  # no honest file is read in smaller pieces
    assert pa.Table.from_batches(batches).to_pylist() == HONEST.to_pylist()


def test_columns_that_are_asked_for_and_rows_without_any(tmp_path):
    pq.write_table(HONEST, tmp_path / "a.parquet")
    with open_table(tmp_path / "a.parquet", ["text", "id", "other"]) as found:
        assert found.schema.names == HONEST.column_names
        assert pa.Table.from_batches(found).to_pylist() == HONEST.select(["id", "text"]).to_pylist()
    with open_table(tmp_path / "a.parquet", ["other"]) as found:
        assert sum(batch.num_rows for batch in found) == 3000


def test_an_empty_table_and_one_without_columns(tmp_path):
    for name, table in {"rows": HONEST.slice(0, 0), "columns": pa.table({})}.items():
        pq.write_table(table, tmp_path / name)
        with open_table(tmp_path / name) as found:
            assert found.rows == sum(b.num_rows for b in found) == 0


def test_several_files_at_once_and_a_path_that_is_relative(tmp_path, monkeypatch):
    for name in "ab":
        pq.write_table(pa.table({"x": [f"{name}{k}" for k in range(9)]}), tmp_path / name)
    child_of(TABLE)
    monkeypatch.chdir(tmp_path)
    with ExitStack() as stack:
        files = [stack.enter_context(open_table(Path(name), rows=3)) for name in "ab"]
        read = [batch["x"].to_pylist() for pair in zip(*files, strict=True) for batch in pair]
    assert read[:2] == [["a0", "a1", "a2"], ["b0", "b1", "b2"]] and len(read) == 6


def test_a_footer_of_nonsense_is_one_line(tmp_path):
    pq.write_table(HONEST, tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    length, lines = int.from_bytes(whole[-8:-4], "little"), 0
    for at in range(0, length, 37):
        spoilt = bytearray(whole)
        spoilt[-9 - at] ^= 0x5A
        (tmp_path / "b.parquet").write_bytes(spoilt)
        try:
            with open_table(tmp_path / "b.parquet") as found:
                list(found)
        except InputError as error:
            lines += 1
            assert f"{tmp_path / 'b.parquet'} " in str(error) and "write" in str(error)
    assert lines > 10


@pytest.mark.parametrize("error", [ValueError, KeyError, EOFError, BrokenPipeError, pa.ArrowInvalid])
def test_what_goes_wrong_with_whoever_reads_is_not_the_files_fault(tmp_path, error):
    pq.write_table(HONEST, tmp_path / "a.parquet")
    with pytest.raises(error), open_table(tmp_path / "a.parquet") as found:
        next(iter(found))
        raise error("of the caller")


def test_a_value_that_python_has_not_is_one_line(tmp_path):
    dates = pa.array([3_000_000], pa.int32()).cast(pa.date32())
    pq.write_table(pa.table({"day": dates}), tmp_path / "a.parquet")
    line = "a.parquet is not a readable Parquet file"
    with open_table(tmp_path / "a.parquet") as found, pytest.raises(InputError, match=line):
        [found.as_python(batch) for batch in found]


@pytest.mark.parametrize("make", [lambda p: None, Path.mkdir, os.mkfifo, Path.touch])
def test_what_is_no_file_of_rows_is_one_line(tmp_path, make):
    make(tmp_path / "a.parquet")
    line = "^x is not a readable Parquet file .*; write it again$"
    with pytest.raises(InputError, match=line), open_table(tmp_path / "a.parquet", name="x"):
        pass


def forks() -> list[int]:
    pid = child_of(TABLE).process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def large(path: Path) -> Path:
    """More than fits between two processes, so that the one that reads it waits."""
    pq.write_table(pa.table({"x": np.random.default_rng(0).normal(size=(400_000))}), path)
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_child_that_dies_is_one_line_and_the_next_file_is_read(tmp_path):
    path = large(tmp_path / "a.parquet")
    line = "a.parquet cannot be read: the process that read it died"
    with pytest.raises(InputError, match=line), open_table(path) as found:
        [fork] = forks()
        os.kill(fork, signal.SIGKILL)
        list(found)
    child_of(TABLE).process.kill()
    child_of(TABLE).process.wait()
    with open_table(path) as found:
        assert sum(batch.num_rows for batch in found) == 400_000


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_who_wants_no_more_rows_leaves_no_process(tmp_path):
    with open_table(large(tmp_path / "a.parquet")) as found:
        next(iter(found))
        assert len(forks()) == 1
    end = time.monotonic() + 60
    while forks() and time.monotonic() < end:
        time.sleep(0.01)
    assert forks() == []


SAY = """
import sys
from pathlib import Path
from rmlab.storage.untrusted import open_table, child_of
with open_table(Path(sys.argv[1])) as found:
    print(child_of("table").process.pid)
    print("torch" in open(f"/proc/{child_of('table').process.pid}/maps").read())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_the_child_has_no_torch_and_ends_with_its_parent(tmp_path):
    path = large(tmp_path / "a.parquet")
    done = subprocess.run([sys.executable, "-c", SAY, path], capture_output=True, text=True, check=True)
    pid, has_torch = done.stdout.split()
    assert not Path(f"/proc/{pid}").exists() and has_torch == "False"


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_fork_that_is_busy_ends_with_the_child(tmp_path):
    """Stopped, it stands for one that is at a long page and does not see that nobody waits."""
    busy: list[int] = []

    def at_a_file() -> subprocess.Popen:
        [fork] = forks()
        os.kill(fork, signal.SIGSTOP)
        busy.append(fork)
        return child_of(TABLE).process

    path = large(tmp_path / "a.parquet")
    with open_table(path):
        at_a_file()
        child_of(TABLE).stop()
    assert not is_there(busy.pop())
    with open_table(path):
        child = at_a_file()
        child_of(TABLE)._socket.close()  # as where this process is killed
        child.wait(60)
    assert not is_there(busy.pop())


def is_there(pid: int) -> bool:
    """A process that runs, or will once it is continued; killed ones are gone in a moment."""
    end = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        time.sleep(0.01)
    return Path(f"/proc/{pid}").exists()
