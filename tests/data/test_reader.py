import gzip
import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rmlab.data.forms.items import read_items
from rmlab.data.prompts import limit, read_demonstrations, read_prompts
from rmlab.data.reader import read_rows
from rmlab.data.splits import validation_groups
from rmlab.errors import InputError


def jsonl(path, *rows):
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return path


def test_one_prompt_in_every_kind_of_file(tmp_path):
    rows = [{"prompt": "Hello, “you”", "split": "train"}, {"prompt": "Bye\u2028now", "split": "test"}]
    a = jsonl(tmp_path / "a.jsonl", *rows)
    b = tmp_path / "b.jsonl.gz"
    b.write_bytes(gzip.compress(a.read_bytes()))
    c = tmp_path / "c.csv"
    c.write_text('prompt,split\n"Hello, “you”",train\nBye\u2028now,test\n', encoding="utf-8-sig")
    d = tmp_path / "d.parquet"
    pq.write_table(pa.Table.from_pylist(rows), d)
    found = [[(p.prompt_id, p.split, p.messages) for p in read_prompts(f, 0.2)] for f in (a, b, c, d)]
    assert found[0] == found[1] == found[2] == found[3]
    assert found[0][0][2] == [{"role": "user", "content": "Hello, “you”"}]


BAD = {
    "not.jsonl": (b'{"prompt": "a"}\n{"prompt": \n', "line 2: not JSON"),
    "list.jsonl": (b'["a"]\n', "line 1: expected an object"),
    "latin.jsonl": ('{"prompt": "a"}\n{"prompt": "caf\xe9"}\n'.encode("latin-1"), "line 2: not UTF-8"),
    "latin.csv": ("prompt\ncaf\xe9\n".encode("latin-1"), "line 2: not UTF-8"),
    "empty.jsonl": (b"\n", "has no rows"),
    "blank.jsonl": (b'{"prompt": "  "}\n', "row 1: 'prompt' is empty"),
    "none.jsonl": (b'{"text": "a"}\n', "row 1: no 'prompt'; the row has text"),
    "number.jsonl": (b'{"prompt": 3}\n', "must be text, got int"),
    "surrogate.jsonl": (b'{"prompt": "\\ud800"}\n', "lone surrogate"),
    "twice.jsonl": (b'{"prompt": "a"}\n{"prompt": "b"}\n{"prompt": "a"}\n', "row 3: .* repeats row 1"),
    "ids.jsonl": (
        b'{"prompt_id": "x", "prompt": "a"}\n{"prompt_id": "x", "prompt": "b"}\n',
        "row 2: prompt_id x repeats row 1",
    ),
    "split.jsonl": (b'{"prompt": "a", "split": "tset"}\n', "split is 'tset'; use train or test"),
    "ragged.csv": (b"prompt,split\na,train,x\n", "row 1: not as many fields"),
    "short.csv": (b"prompt,split\na\n", "row 1: not as many fields"),
    "cut.jsonl.gz": (gzip.compress(b'{"prompt": "a"}\n')[:-4], "cannot be read"),
    "damaged.jsonl.gz": (gzip.compress(b'{"prompt": "a"}\n')[:10] + b"\xff" * 20, "cannot be read"),
    "digits.jsonl": (b'{"prompt": ' + b"9" * 5000 + b"}\n", "line 1: not JSON"),
    "bad.parquet": (b"PAR1 not really", "not a readable Parquet file"),
    "kind.txt": (b"a", "unknown kind of file"),
    "role.jsonl": (b'{"messages": [{"role": "me", "content": "a"}]}\n', "each message needs a role"),
    "last.jsonl": (
        b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n',
        "ends with the user's",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_one_line_with_file_and_row(tmp_path, name):
    content, message = BAD[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as found:
        read_prompts(tmp_path / name, 0.2)
    assert name in str(found.value) and "\n" not in str(found.value)


@pytest.mark.parametrize(
    "line", ['{"prompt": "a", "prompt": "b"}', '{"prompt": "a", "x": [{"y": 1, "y": 1}]}']
)
def test_a_key_that_a_row_has_twice_is_named(tmp_path, line):
    file = tmp_path / "a.jsonl"
    file.write_text('{"prompt": "first"}\n' + line + "\n")
    with pytest.raises(
        InputError, match=r"line 2: not JSON \(it has the key '[py].*' twice; keep one of them\)"
    ):
        list(read_rows(file))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_rows(tmp_path / "none.jsonl")


def test_of_a_parquet_file_only_what_is_looked_at_is_read(tmp_path):
    """A damaged vector column does no harm; the names of all columns are there for errors to show."""
    n = 9000  # more than one batch
    vectors = pa.array(np.random.default_rng(0).random((n, 4)).tolist())
    table = pa.table({"prompt": [f"prompt {i}" for i in range(n)], "v": vectors})
    path = tmp_path / "a.parquet"
    options = {"use_dictionary": False, "compression": "none", "write_page_checksum": True}
    pq.write_table(table, path, **options)
    content = bytearray(path.read_bytes())
    content[content.index(np.float64(vectors[5][2].as_py()).tobytes())] ^= 1
    path.write_bytes(content)
    rows = list(read_rows(path, ("prompt", "split")))
    assert rows[0] == (1, {"prompt": "prompt 0", "v": None})
    assert [number for number, _ in rows] == list(range(1, n + 1)) and rows[-1][1][
        "prompt"
    ] == f"prompt {n - 1}"
    assert len(read_prompts(path, 0.2)) == n
    with pytest.raises(InputError, match="not a readable Parquet file"):
        list(read_rows(path))


def test_a_parquet_file_without_the_columns_shows_those_it_has(tmp_path):
    pq.write_table(pa.table({"question": ["a"], "v": [[1.0]]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="row 1: no 'prompt'; the row has question, v"):
        read_prompts(tmp_path / "a.parquet", 0.2)


def test_duplicates_can_be_merged(tmp_path):
    path = jsonl(tmp_path / "a.jsonl", {"prompt": "a"}, {"prompt": "a"}, {"prompt": "b"})
    assert [p.source_row for p in read_prompts(path, 0.5, merge=True)] == [1, 3]


def test_the_split_does_not_depend_on_the_order_and_changes_little_with_the_number(tmp_path):
    rows = [{"prompt": f"prompt {i}"} for i in range(400)]
    whole = {p.prompt_id: p.split for p in read_prompts(jsonl(tmp_path / "a.jsonl", *rows), 0.25)}
    back = {p.prompt_id: p.split for p in read_prompts(jsonl(tmp_path / "c.jsonl", *rows[::-1]), 0.25)}
    assert back == whole and list(whole.values()).count("test") == 100
    half = {p.prompt_id: p.split for p in read_prompts(jsonl(tmp_path / "b.jsonl", *rows[::-2]), 0.25)}
    assert list(half.values()).count("test") == 50
    assert sum(whole[k] != v for k, v in half.items()) < 20


def test_a_larger_limit_only_adds_prompts(tmp_path):
    rows = [{"prompt": f"prompt {i}", "split": "train"} for i in range(50)]
    prompts = read_prompts(jsonl(tmp_path / "a.jsonl", *rows), 0)
    few, more = ({p.prompt_id for p in limit(prompts, "train", n)} for n in (5, 20))
    assert len(few) == 5 and len(more) == 20 and few < more
    assert limit(prompts, "train", None) == prompts and limit(prompts, "test", 3) == []


def test_messages_in_csv_are_json(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('messages\n"[{""role"": ""user"", ""content"": ""a, b""}]"\n')
    assert read_prompts(path, 0)[0].messages == [{"role": "user", "content": "a, b"}]


def test_demonstrations_in_each_form(tmp_path):
    user, answer = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}
    path = jsonl(
        tmp_path / "d.jsonl",
        {"prompt": "a", "completion": "b"},
        {"messages": [user, answer]},
        {"prompt": [user], "completion": [answer]},
    )
    assert {(d.messages[0]["content"], d.completion) for d in read_demonstrations(path)} == {("a", "b")}
    with pytest.raises(InputError, match="row 1: no 'completion'"):
        read_demonstrations(jsonl(path, {"prompt": "a"}))
    with pytest.raises(InputError, match="end with one of the assistant's"):
        read_demonstrations(jsonl(path, {"messages": [user]}))


def test_validation_prompts_are_a_share_of_the_prompts_and_stay_put():
    ids = [f"p{i}" for i in range(100)]
    held = validation_groups(ids * 3, 0.2, 0)
    assert len(held) == 20 and held == validation_groups(ids[::-1], 0.2, 0)
    assert held != validation_groups(ids, 0.2, 1)
    assert len(validation_groups(["a", "b"], 0.01, 0)) == 1
    with pytest.raises(InputError, match="at least 2"):
        validation_groups(["a", "a"], 0.2, 0)


@pytest.mark.parametrize(
    ("form", "row"),
    [
        ("scored", {"prompt": "q", "response": "a", "score": 10**400}),
        ("ranking", {"prompt": "q", "responses": ["a", "b"], "scores": [1, 10**400]}),
    ],
)
def test_a_number_too_large_for_a_float_is_one_line(tmp_path, form, row):
    with pytest.raises(InputError, match="row 1: 'scores?' (is|has) 10+, not a"):
        read_items(jsonl(tmp_path / "a.jsonl", row), form)


def test_a_folder_whose_file_changed_and_kept_its_time_is_read_again(tmp_path):
    pytest.importorskip("datasets")
    folder = tmp_path / "set"
    folder.mkdir()
    for text in ("before", "and after"):
        file = jsonl(folder / "train.jsonl", {"prompt": text})
        os.utime(file, ns=(10**18, 10**18))
        assert [row["prompt"] for _, row in read_rows(folder)] == [text]


ROWS = [{"prompt": f"question {k}", "n": k} for k in range(10)]


def saved(folder, **how):
    datasets = pytest.importorskip("datasets")
    datasets.DatasetDict(
        {"train": datasets.Dataset.from_list(ROWS[:7]), "test": datasets.Dataset.from_list(ROWS[7:])}
    ).save_to_disk(str(folder), **how)
    return folder


def test_a_saved_dataset_and_folders_of_every_kind_of_file_have_the_same_rows(tmp_path):
    datasets = pytest.importorskip("datasets")
    whole = [{**row, "split": "train" if row["n"] < 7 else "test"} for row in ROWS]
    assert [
        row for _, row in read_rows(saved(tmp_path / "saved", num_shards={"train": 2, "test": 1}))
    ] == whole
    writers = {
        "parquet": lambda part, file: datasets.Dataset.from_list(part).to_parquet(file),
        "jsonl": lambda part, file: jsonl(file, *part),
        "json": lambda part, file: file.write_text(json.dumps(part)),
    }
    for ending, write in writers.items():
        folder = tmp_path / ending / "data"
        folder.mkdir(parents=True)
        for split, part in (("train", ROWS[:7]), ("test", ROWS[7:])):
            write(part, folder / f"{split}-00000-of-00001.{ending}")
        assert [row for _, row in read_rows(tmp_path / ending)] == whole
        assert [number for number, _ in read_rows(tmp_path / ending)] == list(range(1, 11))


@pytest.mark.parametrize("name", ["../other/data.arrow", "/etc/passwd", "data-00000-of-00001.arrow/x"])
def test_a_saved_dataset_names_no_file_of_elsewhere(tmp_path, name):
    state = saved(tmp_path / "saved") / "train" / "state.json"
    state.write_text(json.dumps(json.loads(state.read_text()) | {"_data_files": [{"filename": name}]}))
    with pytest.raises(InputError, match="which is no file of its folder"):
        list(read_rows(tmp_path / "saved"))


def test_a_damaged_saved_dataset_is_one_line(tmp_path):
    [file, *_] = sorted((saved(tmp_path / "saved") / "train").glob("*.arrow"))
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(InputError, match="is not a readable Arrow file"):
        list(read_rows(tmp_path / "saved"))


def test_an_arrow_file_that_unpacks_to_gigabytes_is_refused(tmp_path):
    folder = saved(tmp_path / "saved")
    [file, *_] = sorted((folder / "train").glob("*.arrow"))
    value = pa.array([0] * 8000, pa.int32())
    table = pa.table({"prompt": pa.DictionaryArray.from_arrays(value, pa.array(["x" * 1_000_000]))})
    with pa.OSFile(str(file), "wb") as out, pa.ipc.new_stream(out, table.schema) as stream:
        stream.write_table(table)
    with pytest.raises(InputError, match="it unpacks to more than|within .* bytes of memory"):
        list(read_rows(folder))
