"""Rows that are well formed and mean no good, or nothing: one line, no crash, no silent guess."""

from __future__ import annotations

import gzip
import json
import time
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from rmlab.data.forms.arrays import open_arrays
from rmlab.data.forms.items import read_items
from rmlab.data.forms.preference import hh_item
from rmlab.data.prompts import read_demonstrations, read_prompts
from rmlab.data.reader import read_rows
from rmlab.data.scales import read_scales
from rmlab.errors import InputError
from rmlab.samplers.recorded import ResponsesSampler


def write(tmp_path, *rows):
    path = tmp_path / "a.jsonl"
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows))
    return path


IDS = {
    "a list": ([1], "must be text or a whole number, got list"),
    "an object": ({"a": 1}, "got dict"),
    "a truth": (True, "got bool"),
    "no number": (float("nan"), "got nan"),
    "a surrogate": ("\ud800", "lone surrogate"),
}


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("column", ["prompt_id", "group"])
def test_what_names_nothing_is_no_id(tmp_path, name, column):
    value, message = IDS[name]
    with pytest.raises(InputError, match=f"'{column}'.*{message}"):
        read_prompts(write(tmp_path, {"prompt": "q", column: value}), 0.5)


def test_whole_numbers_and_floats_of_tables_with_gaps_are_ids(tmp_path):
    path = write(tmp_path, {"prompt": "a", "prompt_id": 7}, {"prompt": "b", "prompt_id": 8.0})
    assert [p.prompt_id for p in read_prompts(path, 0.5)] == ["7", "8.0"]


def test_a_number_beyond_all_floats_is_an_id(tmp_path):
    path = write(tmp_path, {"prompt": "a", "prompt_id": 10**400})
    assert [p.prompt_id for p in read_prompts(path, 0.5)] == ["1" + "0" * 400]


def test_a_split_of_another_type_is_one_line(tmp_path):
    with pytest.raises(InputError, match="split is"):
        read_prompts(write(tmp_path, {"prompt": "q", "split": ["train"]}), 0.5)


@pytest.mark.parametrize("messages", [3, {"role": "user"}, "text"])
def test_messages_of_a_demonstration_of_another_type(tmp_path, messages):
    with pytest.raises(InputError, match="'messages'"):
        read_demonstrations(write(tmp_path, {"messages": messages}))


@pytest.mark.parametrize("levels", [200, 950, 100_000])
def test_deep_json_is_one_line(tmp_path, levels):
    path = write(tmp_path, '{"prompt": ' + "[" * levels + "]" * levels + "}")
    with pytest.raises(InputError, match="not JSON .*nested"):
        read_prompts(path, 0.5)


def test_a_huge_value_is_not_shown_whole(tmp_path):
    row = {"prompt": "q", "completion": "a", "label": "x" * 1_000_000}
    with pytest.raises(InputError, match="'label' is 'xxx.*; write true or false") as found:
        read_items(write(tmp_path, row), "unpaired")
    assert len(str(found.value)) <= 1000


def test_many_turns_of_one_speaker_take_linear_time():
    text = "\n\nHuman: q" + "\n\nHuman: more" * 200_000 + "\n\nAssistant: a"
    started = time.process_time()
    found = hh_item({"chosen": text, "rejected": text + " b"}, "a, row 1")
    assert time.process_time() - started < 10
    assert found.messages[0]["content"].startswith("q\n\nmore\n\nmore")


def test_votes_beyond_counting(tmp_path):
    row = {"prompt": "q", "response_a": "a", "response_b": "b", "votes_a": 1e308, "votes_b": 1e308}
    with pytest.raises(InputError, match="not a number of votes"):
        read_items(write(tmp_path, row), "votes")


@pytest.mark.parametrize("value", [10**400, 2**31, True, 1.5])
def test_numbers_that_do_not_fit_the_table(tmp_path, value):
    row = {
        "prompt_id": "p",
        "response_id": "r",
        "text": "t",
        "sample_index": value,
        "n_tokens": 1,
        "finish_reason": "x",
    }
    with pytest.raises(InputError, match="'sample_index' must be a whole number"):
        ResponsesSampler(str(write(tmp_path, row))).open(None, "plain", None)


@pytest.mark.parametrize("value", [1e300, 1e-300, 10**400, float("inf"), -1.0, True])
def test_scales_beyond_32_bits(tmp_path, value):
    with pytest.raises(InputError, match="row 1: "):
        read_scales(write(tmp_path, {"dimension": 0, "scale": value}))


def test_a_column_that_is_there_twice(tmp_path):
    (tmp_path / "a.csv").write_text("prompt,prompt\na,b\n")
    pq.write_table(pa.Table.from_arrays([pa.array(["a"])] * 2, names=["prompt"] * 2), tmp_path / "a.parquet")
    for name in ("a.csv", "a.parquet"):
        with pytest.raises(InputError, match="2 columns 'prompt'"):
            list(read_rows(tmp_path / name))


def test_what_spreadsheets_write_is_read(tmp_path):
    """Columns without a name, a mark before the text, Mac line ends, and fields as long as they like."""
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbfprompt,,\r" + b"x" * 300_000 + b",,\r")
    assert [row["prompt"] for _, row in read_rows(tmp_path / "a.csv")] == ["x" * 300_000]
    (tmp_path / "b.csv").write_bytes(b"prompt\na\ncaf\xe9\n")
    with pytest.raises(InputError, match="b.csv, line 3: not UTF-8"):
        list(read_rows(tmp_path / "b.csv"))


def test_an_open_quote_does_not_swallow_the_file(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b'prompt\n"' + b"x" * (2**26 + 1)))
    with pytest.raises(InputError, match="not CSV"):
        list(read_rows(tmp_path / "a.csv.gz"))


def arrays(folder, embeddings):
    np.save(folder / "rewards.npy", np.zeros((2, 3)))
    embeddings(folder / "embeddings.pt")
    return folder


def test_tensors_that_declare_more_than_they_have(tmp_path):
    small = torch.zeros(1, 1, 1)
    with pytest.raises(InputError, match="declares 6,000,000,000 values and has not as many"):
        open_arrays(arrays(tmp_path, lambda file: torch.save(small.expand(2, 3, 10**9), file)))


def test_a_tensor_of_no_plain_numbers(tmp_path):
    with pytest.raises(InputError, match="not of plain numbers|declares"):
        open_arrays(arrays(tmp_path, lambda file: torch.save(torch.eye(300).to_sparse(), file)))


def test_a_zip_that_unpacks_to_more(tmp_path):
    def pack(file):
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr("archive/data/0", bytes(10**7))

    with pytest.raises(InputError, match="unpacks to more than it has"):
        open_arrays(arrays(tmp_path, pack))


@pytest.mark.parametrize("text", ["(" * 5000, "'''", "{", "__import__('os').system('touch owned')"])
def test_an_npy_header_that_is_no_header(tmp_path, text):
    file = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()
    for name in ("embeddings", "rewards"):
        (tmp_path / f"{name}.npy").write_bytes(file)
    with pytest.raises(InputError, match="not a readable array"):
        open_arrays(tmp_path)


def test_an_archive_in_place_of_an_npy_file(tmp_path):
    for name in ("embeddings", "rewards"):
        with (tmp_path / f"{name}.npy").open("wb") as file:
            np.savez(file, zeros=np.zeros(3))
    with pytest.raises(InputError, match="not a readable array"):
        open_arrays(tmp_path)


def test_a_place_is_as_it_is_written(tmp_path):
    np.save(tmp_path / "rewards.npy", np.zeros((2, 3)))
    np.save(tmp_path / "embeddings.npy", np.zeros((2, 3, 4), dtype=np.float32))
    found = open_arrays(tmp_path)
    assert found.place("all-1-2") == ("all", 1, 2)
    assert [found.place(i) for i in ("all-01-2", "all-\u0661-2", "all-" + "9" * 5000 + "-1", "all--1")] == [
        None
    ] * 4
