"""Small files that would unpack to gigabytes: refused, and at no time is much memory held."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

BOUND = 900_000_000  # bytes at the worst moment, beside what the child may have
READ = """
import json, re, sys
from pathlib import Path
from rmlab.data.prompts import read_prompts
from rmlab.errors import InputError
from rmlab.data.forms.arrays import open_arrays
found = {}
for place in map(Path, sys.argv[1:]):
    try:
        open_arrays(place) if place.is_dir() else read_prompts(place, 0.5, merge=True)
        found[place.name] = "read"
    except InputError as error:
        found[place.name] = str(error)
# not ru_maxrss: that begins at what the process held that began this one
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text()).group(1)
print(json.dumps([found, int(peak) * 1024]))
"""


def one_text_a_million_times(path: Path) -> None:
    """8 MB in the dictionary, 8 TB as texts."""
    texts = pa.DictionaryArray.from_arrays(np.zeros(1_000_000, dtype=np.int32), ["x" * 8_000_000])
    table = pa.table({"prompt": texts, "prompt_id": pa.array(range(1_000_000))})
    pq.write_table(table, path, dictionary_pagesize_limit=2**30, compression="zstd", write_statistics=False)


def texts_that_share_their_beginning(path: Path) -> None:
    """Each is the one before it and a letter more: little is stored, 16 GB are meant."""
    long = "x" * 4_000_000
    table = pa.table({"prompt": [long + str(k) for k in range(40)] * 1})
    pq.write_table(table, path, use_dictionary=False, column_encoding={"prompt": "DELTA_BYTE_ARRAY"})


def a_page_of_zeros(path: Path) -> None:
    pq.write_table(pa.table({"prompt": ["\0" * 100_000_000]}), path, compression="zstd", use_dictionary=False)


def a_list_of_nulls(path: Path) -> None:
    """50 million values in one row: levels that pack to nothing."""
    n = 50_000_000
    lists = pa.ListArray.from_arrays(pa.array([0, n], pa.int32()), pa.nulls(n, pa.int8()))
    pq.write_table(pa.table({"messages": lists}), path, compression="zstd", data_page_size=2**30)


def rows_of_lists_of_nothing(path: Path) -> None:
    """Nulls of no type, which take no bytes in Arrow, and would take gigabytes in Python."""
    n = 20_000_000
    lists = pa.ListArray.from_arrays(pa.array([0, n], pa.int32()), pa.nulls(n))
    pq.write_table(pa.table({"messages": lists}), path, compression="zstd", data_page_size=2**30)


def rows_of_nothing(path: Path) -> None:
    constant = pa.DictionaryArray.from_arrays(np.zeros(20_000_000, dtype=np.int8), ["same"])
    pq.write_table(pa.table({"prompt": constant}), path, compression="zstd", write_statistics=False)


def packed_lines(path: Path) -> None:
    """768 MiB, in members of a gzip file that are all the same."""
    line = json.dumps({"prompt": "y" * 2**20}).encode() + b"\n"
    path.write_bytes(gzip.compress(line * 8, 9) * 96)


def a_packed_line(path: Path) -> None:
    path.write_bytes(gzip.compress(b"z" * 2**26, 9) * 12)


BOMBS = {
    "one_text.parquet": (one_text_a_million_times, "cannot be read within 1,"),
    "nothing.parquet": (rows_of_lists_of_nothing, "and 20,000,001 values, more than a row may"),
    "page.parquet": (a_page_of_zeros, "a row has 100,000,"),
    "list.parquet": (a_list_of_nulls, "and 50,000,001 values"),
    "rows.parquet": (rows_of_nothing, "declares 20,000,000 rows"),
    "lines.jsonl.gz": (packed_lines, "unpacks to more than"),
    "line.jsonl.gz": (a_packed_line, "longer than 67,108,864 bytes"),
}


@pytest.mark.slow
def test_a_bomb_is_refused_within_bounded_memory(tmp_path):
    for name, (make, _) in BOMBS.items():
        make(tmp_path / name)
    arrays = tmp_path / "arrays"
    arrays.mkdir()
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 3, 2), }\n"
    for name in ("embeddings", "rewards"):
        (arrays / f"{name}.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
    assert all(file.stat().st_size < 10_000_000 for file in tmp_path.iterdir())
    places = [tmp_path / name for name in (*BOMBS, "arrays")]
    done = subprocess.run(
        [sys.executable, "-c", READ, *map(str, places)],
        capture_output=True, text=True, check=True, timeout=600, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    found, peak = json.loads(done.stdout)
    for name, (_, message) in BOMBS.items():
        assert message in found[name], found[name]
    assert "not a readable array" in found["arrays"]
    assert peak < BOUND, peak


def test_texts_that_share_their_beginning_are_read_a_few_at_a_time(tmp_path):
    """Honest, though long: 40 texts of 4 MB."""
    from rmlab.storage.untrusted import open_table

    path = tmp_path / "shared.parquet"
    texts_that_share_their_beginning(path)
    with open_table(path, ["prompt"]) as found:
        sizes = [batch.nbytes for batch in found]
    assert sum(sizes) > 160_000_000 and max(sizes) < 20_000_000
