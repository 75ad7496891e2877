"""Both ways of decoding give the logits of the whole text read in one pass, for several families of models."""

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GemmaConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    Qwen2Config,
    Qwen3Config,
)

from rmlab.models.decoding.decoder import ExpandedDecoder, SharedDecoder, may_share, open_decoder

SIZES = dict(
    vocab_size=90, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, head_dim=8, max_position_embeddings=256, pad_token_id=0, bos_token_id=1, eos_token_id=2,
)  # fmt: skip
FAMILIES = {
    "llama": LlamaConfig(**SIZES),
    "gemma": GemmaConfig(**{**SIZES, "num_key_value_heads": 1}),
    "gemma2": Gemma2Config(**SIZES, sliding_window=64, query_pre_attn_scalar=8),
    "qwen2": Qwen2Config(**SIZES),
    "qwen3": Qwen3Config(**SIZES),
    "mistral": MistralConfig(**SIZES, sliding_window=None),
    "phi3": Phi3Config(**SIZES),
    "gpt2": GPT2Config(
        vocab_size=90,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=256,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    ),
}
PROMPTS = [[5, 6, 7, 8, 9, 10, 11], [12], [13, 14, 15]]
PLACES = torch.tensor([0, 0, 0, 2, 1, 2])


def small(family):
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(FAMILIES[family]).eval()


def open_for(model, longest):
    return open_decoder(model, 0, longest, may_share(model, 0))


def whole(model, tokens):
    return model(input_ids=torch.tensor([tokens])).logits[0, -1]


def check(model, decoder, steps=5):
    """Decodes with rows leaving on the way, each row beside a pass of its own."""
    rows = [list(PROMPTS[p]) for p in PLACES]
    with torch.inference_mode():
        logits = decoder.start(PROMPTS, PLACES)
        for step in range(steps):
            for row, found in zip(rows, logits, strict=True):
                assert torch.allclose(found, whole(model, row), atol=1e-4)
            tokens = torch.randint(3, 90, (len(rows),), generator=torch.Generator().manual_seed(step))
            for row, token in zip(rows, tokens.tolist(), strict=True):
                row.append(token)
            if step in (0, 3):
                kept = torch.tensor([0, 2, 3, 5] if step == 0 else [1, 3])
                order = decoder.keep(kept)
                assert sorted(order.tolist()) == kept.tolist()
                tokens, rows = tokens[order], [rows[i] for i in order]
            logits = decoder.step(tokens)


@pytest.mark.parametrize("family", FAMILIES)
def test_shared_prompts(family):
    model = small(family)
    usual = model.config._attn_implementation
    check(model, SharedDecoder(model, pad=0))
    assert model.config._attn_implementation == usual


@pytest.mark.parametrize("family", FAMILIES)
def test_expanded_prompts(family):
    model = small(family)
    check(model, ExpandedDecoder(model, pad=0))


@pytest.mark.parametrize("family", FAMILIES)
def test_known_families_share_their_prompts(family):
    assert isinstance(open_for(small(family), 40), SharedDecoder)


def test_a_text_longer_than_a_sliding_window_is_decoded_the_plain_way():
    model = small("gemma2")
    assert isinstance(open_for(model, 64), SharedDecoder)
    assert isinstance(open_for(model, 65), ExpandedDecoder)


def test_a_model_with_an_attention_of_its_own_is_decoded_the_plain_way(monkeypatch):
    model = small("llama")
    monkeypatch.setattr(
        "rmlab.models.decoding.shared_prefix.SharedLayer.attend",
        lambda self, query, *_: query.transpose(1, 2),
    )
    assert isinstance(open_for(model, 40), ExpandedDecoder)


def test_a_cap_on_logits_of_attention_is_applied():
    FAMILIES["gemma2"].attn_logit_softcapping = 0.05
    try:
        model = small("gemma2")
        check(model, SharedDecoder(model, pad=0))
    finally:
        FAMILIES["gemma2"].attn_logit_softcapping = 50.0


def test_room_for_own_tokens_grows(monkeypatch):
    model = small("llama")
    check(model, SharedDecoder(model, pad=0), steps=40)
