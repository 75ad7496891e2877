"""Files with something wrong in them, of every form: one line with file and row, and nothing is written."""

import gzip
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from form_rows import assistant, dialogue, rows_of, user, write

from rmlab.config.hydra import load_settings
from rmlab.data.forms.arrays import check_vectors, is_arrays, open_arrays
from rmlab.data.forms.items import read_items
from rmlab.data.forms.summary import summarise
from rmlab.errors import InputError

_SETTINGS = load_settings(["experiment=imported", "input=x", "prompts.test_fraction=0.5"])
HOW, VALIDATION = _SETTINGS.prompts, _SETTINGS.validation

BAD = {
    "hh": [
        ({"chosen": dialogue("a", "b")}, "row 3: no 'rejected'; the row has chosen"),
        ({"chosen": 7, "rejected": "x"}, "row 3: 'chosen' must be text, got int"),
        ({"chosen": "b", "rejected": dialogue("a", "c")}, "row 3: 'chosen' does not begin with Human:"),
        (
            {"chosen": dialogue("a", "b", "c"), "rejected": dialogue("a", "b", "d")},
            "row 3: 'chosen' ends with Human:",
        ),
        (
            {"chosen": dialogue("a", "b"), "rejected": dialogue("z", "c")},
            "row 3: its two dialogues part before the last",
        ),
        (
            {"chosen": dialogue("a", "b"), "rejected": dialogue("a", "b")},
            "row 3: two of its answers are the same",
        ),
        (
            {"chosen": dialogue("", "b"), "rejected": dialogue("", "c")},
            "row 3: a turn before the last of 'chosen' is empty",
        ),
        (
            {"chosen": "\n\nHuman: \ud800\n\nAssistant: a", "rejected": "x"},
            "row 3: 'chosen' holds a lone surrogate",
        ),
    ],
    "preference": [
        ({"prompt": "q", "chosen": "a"}, "row 3: no 'rejected'; the row has chosen, prompt"),
        ({"prompt": "q", "chosen": "a", "rejected": "a"}, "row 3: two of its answers are the same text"),
        ({"prompt": "q", "chosen": "a", "rejected": " "}, "row 3: an answer is empty; .* unusable=drop"),
        ({"prompt": " ", "chosen": "a", "rejected": "b"}, "row 3: 'prompt' is empty"),
        ({"prompt": "q", "chosen": 1, "rejected": "b"}, "row 3: 'chosen' must be text, got int"),
        (
            {"prompt": "q", "chosen": [assistant("a")], "rejected": "b"},
            "row 3: 'chosen' is messages and 'rejected' is text",
        ),
        (
            {"prompt": "q", "chosen": [user("a")], "rejected": [user("b")]},
            "row 3: 'chosen' must be one message of the assistant's, got user",
        ),
        (
            {"prompt": "q", "chosen": [{"role": "bot", "content": "a"}], "rejected": []},
            "row 3: each message needs a role",
        ),
        ({"prompt": "q", "chosen": [], "rejected": []}, "row 3: 'messages' is empty"),
        (
            {"prompt": [assistant("q")], "chosen": "a", "rejected": "b"},
            "row 3: the last message is the assistant's",
        ),
        (
            {"chosen": [assistant("a")], "rejected": [assistant("b")]},
            "row 3: 'chosen' and 'rejected' share no prompt",
        ),
        ({"chosen": "a", "rejected": "b"}, "row 3: no 'prompt', and .* begin with no shared text"),
        (
            {
                "chosen": [user("q"), assistant("a"), user("r"), assistant("s")],
                "rejected": [user("q"), assistant("b")],
            },
            "row 3: its two conversations part",
        ),
        (
            {"prompt": "q", "chosen": "a", "rejected": "b", "score_chosen": math.nan, "score_rejected": 1},
            "row 3: 'score_chosen' has nan",
        ),
        (
            {"prompt": "q", "chosen": "a", "rejected": "b", "score_chosen": 1},
            "row 3: 'score_rejected' has None",
        ),
        (
            {"prompt": "q", "chosen": "a", "rejected": "b", "score_chosen": 1, "score_rejected": 2},
            "row 3: its score_chosen is below",
        ),
    ],
    "ranking": [
        ({"prompt": "q", "ranks": [1, 2]}, "row 3: no 'completions'"),
        ({"prompt": "q", "responses": ["a", "b"]}, "row 3: give 'ranks' .* or 'scores'"),
        (
            {"prompt": "q", "responses": ["a", "b"], "ranks": [1, 2], "scores": [1, 2]},
            "row 3: give 'ranks' .* one of the two",
        ),
        (
            {"prompt": "q", "responses": ["a", "b"], "ranks": [1]},
            "row 3: 'responses' has 2 entries and 'ranks' 1",
        ),
        (
            {"prompt": "q", "responses": ["a"], "ranks": [1]},
            "row 3: 'responses' has 1 entries; a ranking needs 2",
        ),
        ({"prompt": "q", "responses": "a, b", "ranks": [1, 2]}, "row 3: 'responses' is text, not a list"),
        ({"prompt": "q", "responses": ["a", 2], "ranks": [1, 2]}, "row 3: 'responses' must be text, got int"),
        ({"prompt": "q", "responses": ["a", ""], "ranks": [1, 2]}, "row 3: an answer is empty"),
        ({"prompt": "q", "responses": ["a", "a"], "ranks": [1, 2]}, "row 3: two of its answers are the same"),
        (
            {"prompt": "q", "responses": ["a", [user("b")]], "ranks": [1, 2]},
            "row 3: 'responses' must be one message of the assistant's",
        ),
        (
            {"prompt": "q", "responses": ["a", "b"], "scores": [1, math.nan]},
            "row 3: 'scores' has nan, not a finite number",
        ),
        ({"prompt": "q", "responses": ["a", "b"], "ranks": [1, "first"]}, "row 3: 'ranks' has 'first'"),
        ({"responses": ["a", "b"], "ranks": [1, 2]}, "row 3: no 'prompt'"),
    ],
    "unpaired": [
        ({"prompt": "q", "completion": "a"}, "row 3: no 'label'"),
        ({"prompt": "q", "label": True}, "row 3: no 'completion'"),
        (
            {"prompt": "q", "completion": "a", "label": "good"},
            "row 3: 'label' is 'good'; write true or false",
        ),
        ({"prompt": "q", "completion": "a", "label": math.nan}, "row 3: 'label' is nan"),
        ({"prompt": "q", "completion": " ", "label": True}, "row 3: an answer is empty"),
        ({"prompt": "q", "completion": 5, "label": True}, "row 3: 'completion' must be text, got int"),
        (
            {"prompt": "q", "completion": [user("a")], "label": True},
            "row 3: 'completion' must be one message of the assistant's",
        ),
        ({"completion": "a", "label": True}, "row 3: no 'prompt'"),
    ],
    "votes": [
        ({"prompt": "q", "response_a": "a", "votes": ["a"]}, "row 3: no 'response_b'"),
        ({"prompt": "q", "response_a": "a", "response_b": "b"}, "row 3: no 'votes_a'"),
        (
            {"prompt": "q", "response_a": "a", "response_b": "a", "votes": ["a"]},
            "row 3: two of its answers are the same",
        ),
        ({"prompt": "q", "response_a": "a", "response_b": "", "votes": ["a"]}, "row 3: an answer is empty"),
        ({"prompt": "q", "response_a": "a", "response_b": "b", "votes": []}, "row 3: nobody voted"),
        (
            {"prompt": "q", "response_a": "a", "response_b": "b", "votes": ["c"]},
            "row 3: 'votes' has the vote 'c'",
        ),
        (
            {"prompt": "q", "response_a": "a", "response_b": "b", "votes": [True]},
            "row 3: 'votes' has the vote True",
        ),
        (
            {"prompt": "q", "response_a": "a", "response_b": "b", "votes": "many"},
            "row 3: 'votes' is text, not a list",
        ),
        (
            {"prompt": "q", "response_a": "a", "response_b": "b", "votes_a": -1, "votes_b": 2},
            "row 3: 'votes_a' has -1, not a number of votes",
        ),
        (
            {"prompt": "q", "response_a": "a", "response_b": "b", "votes_a": math.nan, "votes_b": 2},
            "row 3: 'votes_a' has nan",
        ),
        (
            {"prompt": "q", "response_a": 1, "response_b": "b", "votes": ["a"]},
            "row 3: 'response_a' must be text",
        ),
        ({"response_a": "a", "response_b": "b", "votes": ["a"]}, "row 3: no 'prompt'"),
    ],
    "scored": [
        ({"prompt": "q", "score": 1}, "row 3: no 'response'; the row has prompt, score"),
        ({"prompt": "q", "response": "a"}, "row 3: no 'score'; name the score's column"),
        ({"prompt": "q", "response": "a", "score": "high"}, "row 3: 'score' is 'high', not a number"),
        ({"prompt": "q", "response": "  ", "score": 1}, "row 3: an answer is empty"),
        ({"prompt": "q", "response": ["a"], "score": 1}, "row 3: each message needs a role"),
        (
            {"messages": [{"role": "me", "content": "q"}], "response": "a", "score": 1},
            "row 3: each message needs a role",
        ),
        ({"response": "a", "score": 1}, "row 3: no 'prompt'"),
    ],
}
CASES = [(form, row, message) for form, cases in BAD.items() for row, message in cases]


def refused(path, message):
    """One line that names the file, before anything of it is used."""
    with pytest.raises(InputError, match=message) as found:
        if is_arrays(path):
            check_vectors(open_arrays(path))
        summarise(read_items(path), HOW, VALIDATION)
    assert path.name in str(found.value) and "\n" not in str(found.value)


def nothing_is_written(cli, tmp_path, path, message):
    result = cli("import", path, f"out={tmp_path / 'out'}", "--json")
    assert result.code == 3, result.err
    assert re.search(message, result.line) and path.name in result.line and result.out == ""
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("form", "row", "message"), CASES, ids=[f"{f}-{k}" for k, (f, _, _) in enumerate(CASES)]
)
def test_a_bad_row_is_one_line_with_its_number(tmp_path, form, row, message):
    rows = rows_of(form)
    rows[2] = row
    path = tmp_path / "f.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))  # a lone surrogate as an escape
    refused(path, message)


@pytest.mark.parametrize("form", BAD)
def test_nothing_is_written_of_a_file_whose_last_row_is_bad(cli, tmp_path, form):
    row, message = BAD[form][0]
    path = write(tmp_path / "f.jsonl", [*rows_of(form), row])
    nothing_is_written(cli, tmp_path, path, message.replace("row 3", "row 13"))


@pytest.mark.parametrize("form", BAD)
def test_a_damaged_file_is_one_line(tmp_path, form):
    whole = write(tmp_path / "whole.jsonl", rows_of(form)).read_bytes()
    for name, content, message in (
        ("cut.jsonl.gz", gzip.compress(whole)[:-9], "cannot be read"),
        ("latin.jsonl", whole + b'{"prompt": "caf\xe9"}\n', "line 13: not UTF-8"),
        ("half.jsonl", whole[:-10], "line 12: not JSON"),
        ("empty.jsonl", b"", "has no rows"),
    ):
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, message)


@pytest.mark.parametrize("form", BAD)
def test_a_file_without_a_test_split_is_one_line(tmp_path, form):
    path = write(tmp_path / "f.jsonl", [{**row, "split": "train"} for row in rows_of(form)])
    refused(path, "has no test prompts")
    refused(write(path, [{**row, "split": "half"} for row in rows_of(form)]), "split is 'half'")


@pytest.mark.parametrize("form", ["hh", "preference", "ranking", "votes"])
def test_what_tells_nothing_can_be_left_out_and_is_counted(tmp_path, form):
    equal = {
        "hh": {"chosen": dialogue("q", "a"), "rejected": dialogue("q", "a")},
        "preference": {"prompt": "q", "chosen": "a", "rejected": "a"},
        "ranking": {"prompt": "q", "responses": ["a", "a"], "ranks": [1, 2]},
        "votes": {"prompt": "q", "response_a": "a", "response_b": "a", "votes": ["b"]},
    }[form]
    found = read_items(write(tmp_path / "f.jsonl", [*rows_of(form), equal, equal]), unusable="drop")
    assert found.left_out == {"two of its answers are the same text": 2}
    assert (found.rows, len(found.items)) == (14, 12)


ARRAYS = [
    ({"rewards": None}, "embeddings.npy is alone: .* has no rewards"),
    ({"rewards": np.zeros((3, 9))}, r"rewards.npy is \(3, 9\) and embeddings.npy is \(9, 3, 4\)"),
    ({"rewards": np.zeros(27)}, r"rewards.npy has the shape \(27,\); it must be \(prompts, responses\)"),
    ({"embeddings": np.zeros((9, 3))}, r"embeddings.npy has the shape \(9, 3\); it must be \(prompts, responses, dim\)"),
    ({"embeddings": np.zeros((9, 3, 4), dtype=np.int64)}, "embeddings.npy holds int64, not floats"),
    ({"embeddings": np.zeros((0, 3, 4)), "rewards": np.zeros((0, 3))}, r"has the shape \(0, 3, 4\)"),
    ({"rewards": np.full((9, 3), np.nan)}, "rewards.npy, prompt 0, response 0: the reward is nan"),
    ({"embeddings": np.where(np.arange(108).reshape(9, 3, 4) == 50, np.inf, 0.0)}, "embeddings.npy, prompt 4, response 0: .*NaN or infinity"),
    ({"embeddings": np.array([[[object()]]])}, "embeddings.npy is not a readable array"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), ARRAYS)
def test_bad_arrays_are_one_line(tmp_path, change, message):
    folder = tmp_path / "arrays"
    folder.mkdir()
    for name, array in ({"embeddings": np.zeros((9, 3, 4)), "rewards": np.zeros((9, 3))} | change).items():
        if array is not None:
            np.save(folder / f"{name}.npy", array, allow_pickle=True)
    refused(folder, message)


def test_a_torch_file_that_is_more_than_a_tensor_is_refused(tmp_path):
    import torch

    folder = tmp_path / "arrays"
    folder.mkdir()
    np.save(folder / "rewards.npy", np.zeros((9, 3)))
    for value, message in (
        (math.sqrt, "is not a plain tensor"),
        ({"x": torch.zeros(9)}, "holds a dict, not one tensor"),
    ):
        torch.save(value, folder / "embeddings.pt")
        refused(folder, message)
    (folder / "embeddings.pt").write_bytes(b"PK nothing")
    refused(folder, "embeddings.pt")


def test_what_a_torch_file_would_run_is_not_run(tmp_path):
    import torch

    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "was-run",)

    folder = tmp_path / "arrays"
    folder.mkdir()
    np.save(folder / "rewards.npy", np.zeros((9, 3)))
    torch.save(Trap(), folder / "embeddings.pt")
    refused(folder, "is not a plain tensor")
    assert not (tmp_path / "was-run").exists()
    torch.load(folder / "embeddings.pt", weights_only=False)
    assert (tmp_path / "was-run").exists()  # so the trap is one


def test_nothing_is_written_of_bad_arrays(cli, tmp_path):
    folder = tmp_path / "arrays"
    folder.mkdir()
    np.save(folder / "embeddings.npy", np.zeros((9, 3, 4)))
    np.save(folder / "rewards.npy", np.zeros((3, 9)))
    nothing_is_written(cli, tmp_path, folder, "must be equal")
