"""Without vLLM the sampler says what to install; with it, tests/with_vllm tries it (make test-vllm)."""

import sys

import pytest

from rmlab.errors import InputError, RmlabError
from rmlab.models.compute import Compute
from rmlab.samplers.vllm import VllmSampler, adapter_arguments


def test_without_vllm_it_says_how_to_get_it(tiny_model, monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(RmlabError) as error:
        VllmSampler().open(tiny_model, "plain", Compute())
    assert str(error.value).startswith('sampler=vllm needs vllm; run: pip install "vllm>=0.33"')
    assert "make test-vllm" in str(error.value)
    print("still here")
    assert capfd.readouterr().out == "still here\n"


def test_without_a_model_it_says_so():
    with pytest.raises(InputError, match="needs a model"):
        VllmSampler().open(None, "plain", Compute())


@pytest.mark.parametrize(("rank", "room"), [(1, 1), (4, 8), (32, 32), (33, 64)])
def test_room_for_the_rank_of_an_adapter(tmp_path, rank, room):
    (tmp_path / "adapter_config.json").write_text(f'{{"r": {rank}, "rank_pattern": {{}}}}')
    assert adapter_arguments(tmp_path)["max_lora_rank"] == room


def test_a_rank_that_vllm_has_no_room_for(tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"r": 8, "rank_pattern": {"q_proj": 1024}}')
    with pytest.raises(InputError, match=r"rank 1024; use sft\.output=merged"):
        adapter_arguments(tmp_path)
