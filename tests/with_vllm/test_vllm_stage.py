"""rmlab sample sampler=vllm from the command line to the table, in this process."""

import json
import multiprocessing

import pytest

from rmlab.storage.artifact import open_artifact
from rmlab.storage.schemas import RESPONSES

STAGE = (
    "model=smollm2-135m-q4",
    "sft=none",
    "sampler=vllm",
    "sampler.max_model_len=128",
    "prompts.template=plain",
    "prompts.n_train=null",
    "prompts.n_test=null",
    "sampling.n_train=2",
    "sampling.n_test=3",
    "sampling.max_new_tokens=12",
)


@pytest.fixture
def prompts(tmp_path):
    """Five prompts, one of them longer than the context."""
    texts = ["Once upon a time", "The film was", "She said that", "In the end,", "word " * 300]
    file = tmp_path / "prompts.jsonl"
    rows = [{"prompt": text, "split": "test" if i == 0 else "train"} for i, text in enumerate(texts)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_the_stage_writes_the_same_table(cli, prompts, tmp_path):
    before = set(multiprocessing.active_children())
    result = cli("sample", *STAGE, f"prompts.path={prompts}", f"out={tmp_path / 'out'}", "--json")
    assert result.code == 0, result.err
    [sample] = [s for s in json.loads(result.out)["stages"] if s["stage"] == "sample"]
    table = open_artifact(tmp_path / "out" / "sample" / sample["path"].rpartition("/")[2]).read()
    assert table.schema.equals(RESPONSES.schema)
    assert table.num_rows == 3 * 2 + 1 * 3 == sample["counts"]["responses"]
    assert sample["counts"]["prompts_dropped"] == 1
    assert set(table["finish_reason"].to_pylist()) <= {"stop", "length"}
    assert all(1 <= n <= 12 for n in table["n_tokens"].to_pylist())
    assert all(logprob < 0 for logprob in table["logprob"].to_pylist())
    assert "WARNING" not in result.err and "Triton" not in result.err
    assert set(multiprocessing.active_children()) <= before  # the engine has gone, and its memory with it


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sampler.engine={no_such_argument: 1}", "no_such_argument"),
        ("device=cuda", "shows no CUDA GPU"),
    ],
)
def test_what_vllm_refuses_is_one_line(cli, prompts, tmp_path, override, message):
    result = cli("sample", *STAGE, f"prompts.path={prompts}", f"out={tmp_path / 'out'}", override)
    assert result.code != 0 and message in result.line and result.out == ""
