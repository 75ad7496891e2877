"""Responses out of a file: all that a prompt has, under the ids that the file gives them."""

import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rmlab.data.forms.judgements import AnswerIds
from rmlab.data.prompts import content_id
from rmlab.errors import InputError
from rmlab.models.compute import Compute
from rmlab.samplers.base import SamplingTask
from rmlab.samplers.recorded import FileSampler

HI = [{"role": "user", "content": "Hi"}]


def answers(path, *tasks):
    session = FileSampler(str(path)).open(None, "plain", Compute())
    found = session.generate([SamplingTask(i, m, [0], 1) for i, m in tasks], None, 0, lambda n: None)
    assert all((s.n_tokens, s.finish_reason) == (-1, "imported") for row in found for s in row)
    assert all(math.isnan(s.logprob) for row in found for s in row)
    return [[(s.text, s.response_id) for s in row] for row in found]


def test_ids_of_the_file_are_kept_and_prompts_found_by_id_or_content(tmp_path):
    rows = {
        "response_id": [7, 8, 9, None],
        "prompt_id": ["p", None, "p", "q"],
        "prompt": ["Hi", "Hi", None, None],
        "response": ["a", "b", "c", "d"],
        "embedding": [[1.0], [2.0], [3.0], [4.0]],
    }
    pq.write_table(pa.table(rows), tmp_path / "r.parquet")
    found = answers(tmp_path / "r.parquet", ("p", HI), (content_id(HI), HI), ("mine", HI), ("q", HI))
    assert found == [
        [("a", "7"), ("c", "9")],
        [("b", "8")],
        [("b", "8")],
        [("d", AnswerIds().next("q", "d"))],
    ]


def test_an_empty_id_of_a_csv_file_is_none(tmp_path):
    (tmp_path / "r.csv").write_text("response_id,prompt,response\n,Hi,a\n,Hi,b\nx,Hi,c\n")
    assert answers(tmp_path / "r.csv", ("p", HI)) == [[("a", None), ("b", None), ("c", "x")]]


def test_equal_responses_to_a_prompt_have_ids_of_their_own(tmp_path):
    (tmp_path / "r.csv").write_text("prompt_id,response\np,a\np,b\np,a\n")
    [found] = answers(tmp_path / "r.csv", ("p", HI))
    assert [text for text, _ in found] == ["a", "b", "a"] and len({i for _, i in found}) == 3


def test_blank_responses_are_refused_or_left_out(tmp_path):
    (tmp_path / "r.csv").write_text("prompt_id,response\np,a\np, \nq,\n")
    with pytest.raises(InputError, match="row 2: 'response' is empty.*unusable=drop"):
        answers(tmp_path / "r.csv", ("p", HI))
    session = FileSampler(str(tmp_path / "r.csv"), unusable="drop").open(None, "plain", Compute())
    tasks = [SamplingTask(p, HI, [0], 1) for p in "pq"]
    found = session.generate(tasks, None, 0, lambda n: None)
    assert [[s.text for s in row] for row in found] == [["a"], []]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("response_id,prompt,response\nx,Hi,a\nx,Hi,b\n", "row 2: response_id x repeats row 1"),
        ("prompt,answer\nHi,a\n", "row 1: no 'response'; the row has answer, prompt"),
        ("prompt,response\nYou,a\n", "no response for prompt p"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path, text, message):
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        answers(tmp_path / "r.csv", ("p", HI))
