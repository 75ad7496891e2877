"""Responses of a table: with ids, tokens and probabilities, by sample_index; bad rows are one line."""

import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rmlab.config.settings import Sampling
from rmlab.errors import InputError
from rmlab.models.compute import Compute
from rmlab.samplers.base import SamplingTask
from rmlab.samplers.recorded import ResponsesSampler

PARAMS = Sampling(
    n_train=1, n_test=1, temperature=1, top_p=1, max_new_tokens=1, stop=[], max_prompt_tokens=None,
    long_prompts="drop",
)  # fmt: skip
ROWS = [
    {"prompt_id": "p", "response_id": "b", "sample_index": 1, "text": "two", "n_tokens": 3, "finish_reason": "stop", "logprob": -2.5},
    {"prompt_id": "q", "response_id": "c", "sample_index": 0, "text": "", "n_tokens": -1, "finish_reason": "imported", "logprob": math.nan},
    {"prompt_id": "p", "response_id": "a", "sample_index": 0, "text": "one", "n_tokens": 4, "finish_reason": "length", "logprob": -1.5},
]  # fmt: skip


def generate(folder, rows, *prompts):
    pq.write_table(pa.Table.from_pylist(rows), folder / "r.parquet")
    sampler = ResponsesSampler(str(folder / "r.parquet")).open(None, "plain", Compute())
    return sampler.generate([SamplingTask(p, [], [0], 9) for p in prompts], PARAMS, 0, lambda tokens: None)


def test_responses_come_as_they_were_drawn(tmp_path):
    q, p, none = generate(tmp_path, ROWS, "q", "p", "unknown")
    assert [(s.response_id, s.text, s.n_tokens, s.finish_reason, s.logprob) for s in p] == [
        ("a", "one", 4, "length", -1.5),
        ("b", "two", 3, "stop", -2.5),
    ]
    assert q[0].text == "" and math.isnan(q[0].logprob) and none == []


BAD = {
    "no text": ({"text": None}, "'text' must be text"),
    "no id": ({"response_id": None}, "no 'response_id'"),
    "twice": ({"response_id": "c"}, "response_id c repeats row 2"),
    "index": ({"sample_index": None}, "'sample_index' must be a whole number"),
    "prompt": ({"prompt_id": ""}, "'prompt_id' is empty"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_rows(tmp_path, name):
    change, message = BAD[name]
    with pytest.raises(InputError) as error:
        generate(tmp_path, [*ROWS[:2], ROWS[2] | change], "p")
    assert message in str(error.value) and "r.parquet, row 3" in str(error.value)


def test_probabilities_that_are_text(tmp_path):
    with pytest.raises(InputError, match=r"r.parquet, row 1: 'logprob' must be a number, got str"):
        generate(tmp_path, [row | {"logprob": "likely"} for row in ROWS], "p")
