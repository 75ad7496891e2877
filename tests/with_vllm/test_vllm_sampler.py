"""The sampler vllm against transformers, on SmolLM2 in float32."""

import numpy as np
import pytest
from vllm_drawing import OPENINGS, draw, greedy_tokens, settings, summed_logprob

from rmlab.models.compute import Compute
from rmlab.samplers.base import SamplingTask
from rmlab.samplers.transformers import TransformersSampler


@pytest.fixture
def drawn_tokens(session, monkeypatch):
    """The tokens of every sample drawn in a test, in order."""
    found, sample = [], session._sample

    def keep(output, params):
        found.append(list(output.token_ids))
        return sample(output, params)

    monkeypatch.setattr(session, "_sample", keep)
    return found


def test_greedy_texts_are_those_of_the_transformers_sampler(session, smollm2):
    ours = draw(session, temperature=0.0)
    theirs = draw(TransformersSampler().open(smollm2, "plain", Compute(device="cpu")), temperature=0.0)
    pairs = [(a, b) for [a], [b] in zip(ours, theirs, strict=True) if a.text == b.text]
    assert len(pairs) >= 0.9 * len(OPENINGS)
    for a, b in pairs:
        assert (a.n_tokens, a.finish_reason) == (b.n_tokens, b.finish_reason)
        assert a.logprob == pytest.approx(b.logprob, abs=1e-2)


def test_logprobs_are_those_of_the_untempered_policy(session, reference, drawn_tokens):
    model, _ = reference
    samples = [s for row in draw(session, n=2, temperature=0.7, top_p=0.8) for s in row]
    prompts = [session.encode([{"role": "user", "content": t}]) for t in OPENINGS for _ in range(2)]
    assert len(drawn_tokens) == len(samples) == 20
    for sample, prompt, tokens in zip(samples, prompts, drawn_tokens, strict=True):
        assert sample.n_tokens == len(tokens)
        assert sample.logprob == pytest.approx(summed_logprob(model, prompt, tokens), abs=1e-2)


def test_top_p_keeps_the_most_likely_tokens_alone(session, reference, drawn_tokens):
    model, _ = reference
    texts = OPENINGS[:4]
    draw(session, n=16, texts=texts, top_p=0.6, max_new_tokens=1)
    allowed = [_nucleus(model, session.encode([{"role": "user", "content": t}]), 0.6) for t in texts]
    assert len(drawn_tokens) == 64 and max(map(len, allowed)) > 1
    assert all(token in allowed[k // 16] for k, [token] in enumerate(drawn_tokens))


def _nucleus(model, prompt, top_p):
    import torch

    with torch.inference_mode():
        probabilities = torch.softmax(model(torch.tensor([prompt])).logits[0, -1].float(), -1)
    ordered, ids = probabilities.sort(descending=True)
    return set(ids[: int((ordered.cumsum(0) < top_p - 1e-4).sum()) + 1].tolist())


def test_a_seed_names_its_samples(session):
    first, again, other = (draw(session, n=4, texts=OPENINGS[:4], seed=seed) for seed in (0, 0, 1))
    assert [[s.text for s in row] for row in first] == [[s.text for s in row] for row in again]
    assert np.allclose(*([s.logprob for row in x for s in row] for x in (first, again)), atol=1e-2)
    assert all(a.text != b.text for a, b in zip(first[0], other[0], strict=True))
    assert all(len({s.text for s in row}) == 4 for row in first)


def test_other_prompts_and_samples_change_nothing(session):
    whole = draw(session, n=4, texts=OPENINGS[:4])
    alone = draw(session, n=2, texts=OPENINGS[:1])
    assert [s.text for s in alone[0]] == [s.text for s in whole[0][:2]]


def test_a_stop_string_ends_the_response_and_is_left_out(session):
    [[whole]] = draw(session, texts=OPENINGS[:1], temperature=0.0)
    stop = whole.text[12:15]
    [[cut]] = draw(session, texts=OPENINGS[:1], temperature=0.0, stop=[stop, "never there"])
    assert cut.text == whole.text[: whole.text.index(stop)] and cut.finish_reason == "stop"
    assert 0 < cut.n_tokens < whole.n_tokens


def test_an_end_token_is_counted_and_not_in_the_text(session, reference, drawn_tokens):
    model, tokenizer = reference
    chat = "<|im_start|>user\nSay hi.<|im_end|>\n<|im_start|>assistant\nHi"
    prompt = tokenizer(chat, add_special_tokens=False)["input_ids"]
    how = settings(temperature=0.0, max_new_tokens=100)
    [[sample]] = session.generate([SamplingTask("hi", [], prompt, 1)], how, 0, lambda tokens: None)
    [tokens] = drawn_tokens
    assert sample.finish_reason == "stop" and tokens[-1] == tokenizer.eos_token_id
    assert sample.n_tokens == len(tokens) < 100
    assert sample.text == tokenizer.decode(tokens[:-1], skip_special_tokens=True)
    assert greedy_tokens(model, prompt, 100)[:3] == tokens[:3]


def test_a_response_of_full_length_says_so(session):
    samples = [s for row in draw(session, n=2, max_new_tokens=5) for s in row]
    assert all(s.n_tokens == 5 for s in samples if s.finish_reason == "length")
    assert sum(s.finish_reason == "length" for s in samples) > 10


def test_the_prompt_has_no_second_begin_token(session, reference, monkeypatch):
    seen = []
    generate = session.engine.generate
    monkeypatch.setattr(
        session.engine, "generate", lambda prompts, *rest: seen.extend(prompts) or generate(prompts, *rest)
    )
    draw(session, texts=OPENINGS[:2], max_new_tokens=1)
    assert seen == [reference[1](t, add_special_tokens=False)["input_ids"] for t in OPENINGS[:2]]


def test_a_prompt_up_to_the_context(session):
    text = "word " * 400
    limit = session.context - 8
    messages = [{"role": "user", "content": text}]
    assert session.context == 256 and len(session.encode(messages)) > limit
    task = SamplingTask("long", messages, session.cut(session.encode(messages), limit), 1)
    [[sample]] = session.generate([task], settings(max_new_tokens=8), 0, lambda tokens: None)
    assert 1 <= sample.n_tokens <= 8
