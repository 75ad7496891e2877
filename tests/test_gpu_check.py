"""scripts/gpu_check.py on a CPU: every line of it, what its checks catch, and how it refuses."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

SCRIPTS = Path(__file__).parents[1] / "scripts"
TARGETS = {
    "product_tflops_bfloat16", "product_tflops_float32", "copy_gb_per_s", "peak_gib", "seconds",
    "embed_bfloat16", "embed_of_limit_bfloat16", "embed_float32", "sample_8", "sample_20", "sample_20_of_limit",
}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def scripts():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        yield


@pytest.fixture(scope="module")
def llama(scripts, tmp_path_factory):
    from gpu_parity import write_models

    folder = tmp_path_factory.mktemp("parity") / "llama"
    write_models("llama", folder)
    return folder


@pytest.mark.slow
def test_all_of_it_on_a_small_shape(capsys):
    from gpu_check import main

    code = main(["--device", "cpu", "--tiny"])
    *lines, last = capsys.readouterr().out.strip().splitlines()
    verdicts = [line.split()[0] for line in lines if line.startswith(("ok ", "failed "))]
    figures = json.loads(last)
    assert code == 0 and verdicts == ["ok"] * figures["checks"] and figures["failed"] == 0
    assert len(verdicts) == 3 * 8 + 6 and set(figures) >= TARGETS
    rates = [v for k, v in figures.items() if k not in ("device", "peak_gib", "failed")]
    assert all(v > 0 and math.isfinite(v) for v in rates) and figures["peak_gib"] is None


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 3, "no CUDA device here; "),
        (["--device", "cuda:1", "--tiny"], 3, "no CUDA device here; "),
        (["--device", "cpu"], 2, "--tiny"),
        (["--device", "tpu"], 2, "neither cuda nor cpu"),
    ],
)
def test_what_it_cannot_do_is_one_line(arguments, code, said, monkeypatch, capsys):
    from gpu_check import main

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(arguments) == code
    shown = capsys.readouterr()
    assert said in shown.err and shown.err.count("\n") == 1 and not shown.out


def test_a_failed_check_is_said_and_fails_the_run(monkeypatch, capsys):
    import gpu_check
    from gpu_parity import Check

    checks = [Check("one", 0.0, 1e-4), Check("two", math.nan, 1e-4)]
    monkeypatch.setattr(gpu_check, "all_checks", lambda target, device: iter(checks))
    monkeypatch.setattr(gpu_check, "_speeds", lambda device, sizes: ({}, []))
    assert gpu_check.main(["--device", "cpu", "--tiny"]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[1].startswith("ok     one") and out[2].startswith("failed two: nan, bound 0.0001")
    assert json.loads(out[-1])["failed"] == 1


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_wrong_embeddings_are_found(llama, dtype, monkeypatch):
    from gpu_parity import check_embeddings

    from rmlab.models.decoding import text_reader as reader

    assert check_embeddings(llama, "cpu", dtype).ok
    monkeypatch.setattr(reader, "pool", lambda states, mask, how: states.float().mean(dim=1))
    assert not check_embeddings(llama, "cpu", dtype).ok


def test_wrong_logprobs_are_found(llama, monkeypatch):
    from gpu_parity import check_logprobs

    from rmlab.samplers.transformers import SamplingSession

    assert check_logprobs(llama, "cpu").ok
    finish = SamplingSession._finish
    monkeypatch.setattr(
        SamplingSession,
        "_finish",
        lambda *given: replace(made := finish(*given), logprob=made.logprob + 2e-3),
    )
    assert not check_logprobs(llama, "cpu").ok


def _certain(tokens):
    from rmlab.samplers.token_choice import DrawnTokens

    return DrawnTokens(tokens, torch.zeros(len(tokens)), torch.zeros(len(tokens), dtype=torch.bool))


def _second_best(logits, uniform, temperature, top_p):
    return _certain(logits.topk(2, dim=-1).indices[:, 1])


def _by_batch(logits, uniform, temperature, top_p):
    return _certain(logits.topk(2, dim=-1).indices[:, len(logits) % 2])


def test_wrong_greedy_tokens_are_found(llama, monkeypatch):
    from gpu_parity import check_greedy

    assert check_greedy(llama, "cpu").ok
    monkeypatch.setattr("rmlab.samplers.token_choice.choose", _second_best)
    assert not check_greedy(llama, "cpu").ok


def test_tokens_that_depend_on_the_batch_are_found(llama, monkeypatch):
    from gpu_parity import check_batches

    monkeypatch.setattr("rmlab.samplers.token_choice.choose", _by_batch)
    assert check_batches(llama, "cpu").error > 0


def test_only_a_near_tie_at_the_first_change_excuses_it():
    from types import SimpleNamespace

    from gpu_parity import _tokens_check

    row = SimpleNamespace(tokens=[5, 6, 7], ties=[1], near_ties=1)
    assert _tokens_check("", [(row, [5, 8, 9]), (row, [5, 6, 7])]).error == 0
    assert _tokens_check("", [(row, [4, 8, 9])]).error == 1
    assert _tokens_check("", [(row, [5, 6, 8])]).error == 1
    assert _tokens_check("", [(row, [5, 6])]).error == 1


def test_wrong_scores_are_found(llama, monkeypatch):
    from gpu_parity import check_scores

    from rmlab.models.decoding.text_reader import ClassifierReader

    assert check_scores(llama, "cpu").ok
    logits = ClassifierReader._logits
    monkeypatch.setattr(
        ClassifierReader, "_logits", lambda self, *given: [x + 2e-4 for x in logits(self, *given)]
    )
    assert not check_scores(llama, "cpu").ok


def test_prompts_that_are_not_shared_are_found(llama, monkeypatch):
    from gpu_parity import check_sharing

    assert check_sharing(llama, "cpu", "bfloat16").ok
    monkeypatch.setattr(
        "rmlab.models.decoding.shared_prefix.SharedLayer.attend",
        lambda self, query, *_: query.transpose(1, 2),
    )
    assert check_sharing(llama, "cpu", "bfloat16").error == 2


def test_the_shape_is_that_of_gemma_2b():
    """2,506,172,416 parameters with a tied head, all but the norms' in the products that are counted."""
    from gpu_sizes import GEMMA_2B

    shape = GEMMA_2B.shape
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(shape.config())
    norms = sum(p.numel() for p in model.parameters() if p.dim() == 1)
    assert sum(p.numel() for p in model.parameters()) == 2_506_172_416
    assert shape.layer_weights() + shape.head_weights() + norms == 2_506_172_416
    assert shape.cache_values() == 2 * 18 * 256
    assert model.config.initializer_range == pytest.approx(0.02, rel=0.01)


def test_logits_of_random_weights_spread_as_those_of_text():
    from gpu_sizes import Shape, random_model

    model = random_model(Shape(64, 128, 2, 4, 16, 1, 4096), "cpu")
    with torch.inference_mode():
        logits = model(torch.arange(3, 40)[None]).logits.float()
    assert model.dtype == torch.bfloat16 and logits.std() == pytest.approx(4.5, rel=0.1)


def test_the_limit_of_decoding():
    """Few rows wait for the weights, many for the products; the cache of a long prompt is read once."""
    from gpu_sizes import TINY, Shape
    from gpu_speed import _least_seconds, decoding_seconds

    sizes = TINY._replace(shape=Shape(8, 16, 1, 1, 8, 1, 10), new_tokens=3, samples=4, prompts=3)
    weights = 4 * 64 + 3 * 128 + 80
    assert decoding_seconds(sizes, 4, 1, 0, 1e30, 1.0) == 2 * (3 * weights + 4 * 16 + 8 * 16)
    assert (
        decoding_seconds(sizes, 4, 1, 5, 1.0, 1e30) == 2 * ((4 * 64 + 3 * 128) * 5 + 80) + 2 * 2 * weights * 4
    )
    more = decoding_seconds(sizes, 4, 1, 9, 1e30, 1.0) - decoding_seconds(sizes, 4, 1, 0, 1e30, 1.0)
    assert more == 2 * 2 * 9 * 16
    in_fives = [(5, 2), (5, 2), (2, 1)]
    expected = sum(decoding_seconds(sizes, rows, prompts, 6, 50.0, 7.0) for rows, prompts in in_fives)
    assert _least_seconds(sizes, 5, 6, 50.0, 7.0) == pytest.approx(expected)


def test_generated_tokens_count_up_to_the_first_end():
    from types import SimpleNamespace

    from gpu_speed import generate

    rows = torch.tensor([[9, 9, 5, 2, 0, 0], [9, 9, 5, 6, 7, 8], [9, 9, 2, 2, 2, 2], [9, 9, 3, 4, 5, 2]])
    model = SimpleNamespace(
        device="cpu", generate=lambda *_, **__: rows, config=SimpleNamespace(eos_token_id=2)
    )
    assert generate(model, [9, 9], 4, 4) == 2 + 4 + 1 + 4


def test_the_padded_loop_is_the_mean_of_each_text_alone():
    from gpu_sizes import TINY, random_model
    from gpu_speed import embed_padded, random_texts

    model = random_model(TINY.shape, "cpu").float().model
    texts = random_texts(5, 8, 20)
    assert sorted(map(len, texts))[0] == 8 and max(map(len, texts)) == 20
    found = embed_padded(model, texts, 24, 2)
    from rmlab.models.bundled.random_tiny import byte_tokenizer

    for text, vector in zip(texts, found, strict=True):
        with torch.inference_mode():
            alone = (
                model(torch.tensor([byte_tokenizer()(text)["input_ids"]])).last_hidden_state[0, 1:].mean(0)
            )
        assert torch.allclose(torch.from_numpy(vector), alone, atol=1e-5)
