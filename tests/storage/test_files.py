import os
import platform

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rmlab import machine
from rmlab.errors import InputError
from rmlab.storage.files import plain, read_parquet, replacing, write_json, write_parquet


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]


def test_machines_that_share_a_folder_have_temporary_files_of_their_own(tmp_path, monkeypatch):
    """Two machines may have a process of the same number."""
    names = []
    for host in ("one", "two"):
        machine._host_label.cache_clear()
        monkeypatch.setattr(platform, "node", lambda host=host: host)
        with replacing(tmp_path / "x") as temporary:
            temporary.touch()
            names.append(temporary.name)
    machine._host_label.cache_clear()
    assert names == [f".x.{host}-{os.getpid()}.tmp" for host in ("one", "two")]


def test_a_table_comes_back_as_it_was(tmp_path):
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(12, dtype=np.float16)), 4)
    table = pa.table({"id": ["a", "b", "c"], "v": vectors})
    write_parquet(tmp_path / "t.parquet", table)
    assert read_parquet(tmp_path / "t.parquet").equals(table)
    column = pq.read_metadata(tmp_path / "t.parquet").row_group(0).column(1)
    assert not column.has_dictionary_page
    assert column.statistics is None


def test_only_vectors_are_not_compressed(tmp_path):
    messages = [[{"role": "user", "content": "a"}]] * 3
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(6, dtype=np.float32)), 2)
    write_parquet(tmp_path / "t.parquet", pa.table({"m": messages, "items": [["a"]] * 3, "v": vectors}))
    group = pq.read_metadata(tmp_path / "t.parquet").row_group(0)
    columns = [group.column(i) for i in range(group.num_columns)]
    assert {c.path_in_schema: c.compression for c in columns} == {
        "m.list.element.role": "ZSTD",
        "m.list.element.content": "ZSTD",
        "items.list.element": "ZSTD",
        "v.list.element": "UNCOMPRESSED",
    }


def test_every_flipped_byte_of_the_data_is_found(tmp_path):
    path = tmp_path / "t.parquet"
    write_parquet(path, pa.table({"x": np.random.default_rng(0).random(2000)}))
    good = path.read_bytes()
    column = pq.read_metadata(path).row_group(0).column(0)
    end = (column.dictionary_page_offset or column.data_page_offset) + column.total_compressed_size
    start = end - column.total_compressed_size // 3  # data, past the headers of pages
    for place in np.linspace(start, end - 1, 25).astype(int):
        bad = bytearray(good)
        bad[place] ^= 0x10
        path.write_bytes(bytes(bad))
        with pytest.raises(InputError, match="cannot be read"):
            read_parquet(path)


def test_no_file_is_one_line(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_parquet(tmp_path / "none.parquet")


def test_json_has_no_nan(tmp_path):
    write_json(tmp_path / "x.json", {"a": float("nan"), "b": np.float64(2), "c": [np.int64(3), None]})
    assert plain({"a": float("inf"), "b": (np.bool_(True),)}) == {"a": None, "b": [True]}
    assert '"a": null' in (tmp_path / "x.json").read_text()
