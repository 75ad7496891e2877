import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, MambaConfig, MambaForCausalLM

from rmlab.config.settings import Sampling
from rmlab.errors import InputError
from rmlab.models.bundled.random_tiny import byte_tokenizer
from rmlab.models.compute import Compute
from rmlab.models.decoding.decoder import ExpandedDecoder, FusedDecoder, SharedDecoder
from rmlab.samplers.base import SamplingTask, cut_at_stop
from rmlab.samplers.transformers import SamplingSession, TransformersSampler

TEXTS = ["Hi", "A much longer prompt, with commas", "Then", "x"]


def params(**changes):
    base = dict(n_train=1, n_test=1, temperature=1.0, top_p=0.95, max_new_tokens=12, stop=[])
    return Sampling(**{**base, "max_prompt_tokens": None, "long_prompts": "drop", **changes})


def generate(folder, how, n=3, batch_size=128, seed=0, texts=TEXTS):
    session = TransformersSampler(batch_size).open(folder, "plain", Compute())
    messages = [[{"role": "user", "content": t}] for t in texts]
    tasks = [SamplingTask(f"p{i}", m, session.encode(m), n) for i, m in enumerate(messages)]
    return session.generate(tasks, how, seed, lambda tokens: None)


def test_greedy_text_equals_transformers_own(tiny_model):
    found = generate(tiny_model, params(temperature=0.0), n=1)
    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(tiny_model),
        AutoTokenizer.from_pretrained(tiny_model),
    )
    for text, [sample] in zip(TEXTS, found, strict=True):
        ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)
        out = model.generate(**ids, max_new_tokens=12, do_sample=False)[0, ids["input_ids"].shape[1] :]
        assert sample.text == tokenizer.decode(out, skip_special_tokens=True)
        assert sample.n_tokens == len(out)


def test_logprobs_are_those_of_the_untempered_policy(tiny_model, monkeypatch):
    made = []
    finish = SamplingSession._finish
    monkeypatch.setattr(
        SamplingSession, "_finish", lambda self, row, how: made.append(row) or finish(self, row, how)
    )
    generate(tiny_model, params(temperature=0.7, top_p=0.8))
    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(tiny_model),
        AutoTokenizer.from_pretrained(tiny_model),
    )
    assert len(made) == 12
    for row in made:
        prompt = tokenizer(TEXTS[row.task], add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            logits = model(torch.tensor([prompt + row.tokens])).logits[0, len(prompt) - 1 : -1]
        expected = torch.log_softmax(logits, -1)[range(len(row.tokens)), row.tokens].sum().item()
        assert row.logprob == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_the_batch_size_changes_nothing(tiny_model, batch_size):
    a, b = generate(tiny_model, params()), generate(tiny_model, params(), batch_size=batch_size)
    assert [[s.text for s in x] for x in a] == [[s.text for s in x] for x in b]
    flat = [s.logprob for x in a for s in x], [s.logprob for x in b for s in x]
    assert np.allclose(*flat, atol=1e-4)


def test_each_sample_has_its_own_stream(tiny_model):
    first, again, other = (generate(tiny_model, params(), seed=s) for s in (0, 0, 1))
    assert first == again and first != other
    assert len({s.text for s in first[0]}) == 3
    alone = generate(tiny_model, params(), texts=TEXTS[:1])
    assert [s.text for s in alone[0]] == [s.text for s in first[0]]
    more = generate(tiny_model, params(), n=5)
    assert [s.text for s in more[1][:3]] == [s.text for s in first[1]]


def test_some_samples_end_and_others_go_on(tiny_model):
    samples = [s for x in generate(tiny_model, params(max_new_tokens=300), n=8) for s in x]
    reasons = {s.finish_reason for s in samples}
    assert reasons == {"stop", "length"}
    assert all(s.n_tokens == 300 for s in samples if s.finish_reason == "length")
    assert any(s.n_tokens < 300 for s in samples)


def test_a_stop_string_ends_the_response_and_is_left_out(tiny_model):
    whole = generate(tiny_model, params(max_new_tokens=40))[0][0].text
    stop = whole[10:11]
    cut = generate(tiny_model, params(max_new_tokens=40, stop=[stop, "never there"]))[0][0]
    assert cut.text == whole[: whole.index(stop)] and cut.finish_reason == "stop"
    assert cut_at_stop("abc", ["z"]) is None and cut_at_stop("abc", ["c", "b"]) == "a"


def test_a_model_without_attention_is_one_line(tmp_path):
    config = MambaConfig(vocab_size=262, hidden_size=16, num_hidden_layers=1, state_size=4)
    MambaForCausalLM(config).save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(InputError, match="mamba models keep no keys and values; use sampler=vllm"):
        generate(tmp_path, params())


def test_without_a_model_it_says_so():
    with pytest.raises(InputError, match="needs a model"):
        TransformersSampler().open(None, "plain", Compute())


def test_the_way_of_decoding_changes_nothing(tiny_model, monkeypatch):
    found = generate(tiny_model, params(), n=6)
    used = []
    monkeypatch.setattr("rmlab.models.decoding.decoder.may_share", lambda *_: used.append(1) or False)
    plain = generate(tiny_model, params(), n=6)
    assert used and [[s.text for s in x] for x in found] == [[s.text for s in x] for x in plain]


def test_a_small_budget_of_memory_makes_small_batches(tiny_model, monkeypatch):
    sizes = []
    for decoder in (FusedDecoder, SharedDecoder, ExpandedDecoder):
        start = decoder.start
        monkeypatch.setattr(
            decoder,
            "start",
            lambda self, p, places, start=start: sizes.append(len(places)) or start(self, p, places),
        )
    whole = generate(tiny_model, params())
    assert max(sizes) == 12
    sizes.clear()
    session = TransformersSampler(cache_gib=1e-4).open(tiny_model, "plain", Compute())
    messages = [[{"role": "user", "content": t}] for t in TEXTS]
    tasks = [SamplingTask(f"p{i}", m, session.encode(m), 3) for i, m in enumerate(messages)]
    found = session.generate(tasks, params(), 0, lambda tokens: None)
    assert max(sizes[1:]) < 12
    assert [[s.text for s in x] for x in found] == [[s.text for s in x] for x in whole]


def test_out_of_memory_halves_the_batch_and_loses_nothing(tiny_model, monkeypatch, capsys):
    whole = generate(tiny_model, params())
    step = FusedDecoder.step

    def fails(self, tokens):
        if len(tokens) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return step(self, tokens)

    monkeypatch.setattr(FusedDecoder, "step", fails)
    found = generate(tiny_model, params())
    assert [[s.text for s in x] for x in found] == [[s.text for s in x] for x in whole]
    assert "goes on with 6" in capsys.readouterr().err
