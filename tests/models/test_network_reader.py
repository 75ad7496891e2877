"""Batched reading gives what each text gives alone and unpadded, and reads each shared prompt once."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_decoder import FAMILIES
from transformers import AutoModel, BertConfig

from rmlab.models.decoding.batches import by_length, by_prompt, by_response, split_by_sharing
from rmlab.models.decoding.text_reader import TextReader, pool
from rmlab.models.text.tokens import Encoded

BERT = BertConfig(
    vocab_size=90, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
    max_position_embeddings=64,
)  # fmt: skip
ROWS = [
    Encoded([5, 6, 7, 8], [9, 10]),
    Encoded([11], []),
    Encoded([5, 6, 7, 8], []),
    Encoded([12, 13], list(range(20, 45))),
    Encoded([5, 6, 7, 8], [2, 2, 14]),
    Encoded([15], [16]),
    Encoded([12, 13], [2]),
    Encoded([17, 18, 19], [20]),
]
rows_of_tokens = st.lists(
    st.builds(
        Encoded,
        st.sampled_from([[3], [4, 5], [4, 6], list(range(7, 30))]),
        st.lists(st.integers(3, 80), max_size=30),
    ),
    min_size=1,
    max_size=25,
)


def network(family):
    torch.manual_seed(0)
    return AutoModel.from_config(BERT if family == "bert" else FAMILIES[family]).eval()


def alone(model, row, layer, pooling):
    with torch.inference_mode():
        output = model(input_ids=torch.tensor([row.prompt + row.response]), output_hidden_states=True)
    states = output.last_hidden_state if layer == -1 else output.hidden_states[layer]
    wanted = states[0, len(row.prompt) :] if row.response else states[0, len(row.prompt) - 1 :]
    return wanted.mean(dim=0) if pooling == "mean" else wanted[-1]


@pytest.mark.parametrize("tokens", [1, 30, 2048])
@pytest.mark.parametrize("family", ["llama", "gemma", "gemma2", "qwen2", "gpt2", "bert"])
def test_states_are_those_of_each_text_alone(family, tokens):
    """pad=2 also stands within texts."""
    model = network(family)
    reader = TextReader(model, pad=2, causal=family != "bert", tokens=tokens, hint="")
    for pooling in ("mean", "last"):
        seen = []
        for numbers, found in reader.read(
            ROWS, [-1, 1, 0], lambda s, m, how=pooling: [pool(x, m, how) for x in s]
        ):
            seen += numbers
            for k, i in enumerate(numbers):
                for layer, vectors in zip((-1, 1, 0), found, strict=True):
                    expected = alone(model, ROWS[i], layer, pooling)
                    assert (vectors[k] - expected).norm() <= 1e-4 * expected.norm()
        assert sorted(seen) == list(range(len(ROWS)))


def test_each_shared_prompt_is_read_once():
    model, lengths = network("llama"), []
    rows = [Encoded(list(range(3, 43)), [k]) for k in range(3, 33)]
    reader = TextReader(model, 0, True, 4096, "")
    model.embed_tokens.register_forward_pre_hook(lambda _, args: lengths.append(args[0].numel()))
    list(reader.read(rows, [-1], lambda s, m: None))
    assert lengths == [39, 30 * 2]


def test_out_of_memory_reads_fewer_together(monkeypatch, capsys):
    model = network("llama")
    forward = model.forward

    def small(**inputs):
        if len(inputs["input_ids"]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(**inputs)

    monkeypatch.setattr(model, "forward", small)
    rows = [Encoded([k], [k]) for k in range(3, 12)]
    found = np.empty((9, 32))
    for numbers, vectors in TextReader(model, 0, True, None, "").read(
        rows, [-1], lambda s, m: pool(s[0], m, "last")
    ):
        found[numbers] = vectors
    monkeypatch.undo()
    for row, vector in zip(rows, found, strict=True):
        assert np.allclose(vector, alone(model, row, -1, "last"), atol=1e-5)
    assert "goes on with" in capsys.readouterr().err


@settings(max_examples=200, deadline=None)
@given(rows_of_tokens, st.integers(1, 200), st.booleans())
def test_batches_hold_every_row_once_within_the_tokens(rows, tokens, shares):
    alone, together = split_by_sharing(rows, shares)
    assert not together or shares
    seen = []
    for batch in by_length(rows, alone, tokens):
        seen += batch
        assert (
            len(batch) == 1
            or len(batch) * max(len(rows[i].prompt) + len(rows[i].response) for i in batch) <= tokens
        )
    prompts = [{tuple(rows[i].prompt) for i in group} for group in by_prompt(rows, together, tokens)]
    assert sum(map(len, prompts)) == len({tuple(rows[i].prompt) for i in together})
    for group in by_prompt(rows, together, tokens):
        heads = {tuple(rows[i].prompt) for i in group}
        assert len(heads) == 1 or len(heads) * max(map(len, heads)) <= tokens
        for batch in by_response(rows, group, tokens):
            seen += batch
            assert len(batch) == 1 or len(batch) * (1 + max(len(rows[i].response) for i in batch)) <= tokens
    assert sorted(seen) == list(range(len(rows)))


def test_little_padding_in_texts_of_mixed_length():
    lengths = np.random.default_rng(0).integers(8, 256, 2000)
    rows = [Encoded([3], [4] * int(n - 1)) for n in lengths]
    padded = sum(len(b) * max(int(lengths[i]) for i in b) for b in by_length(rows, list(range(2000)), 2048))
    assert padded < 1.02 * lengths.sum()


def test_a_model_with_an_attention_of_its_own_reads_every_text_whole(monkeypatch):
    model = network("llama")
    monkeypatch.setattr(
        "rmlab.models.decoding.shared_prefix.SharedLayer.attend",
        lambda self, query, *_: query.transpose(1, 2),
    )
    reader = TextReader(model, 0, True, None, "")
    assert not reader.shares
    for numbers, vectors in reader.read(ROWS, [-1], lambda s, m: pool(s[0], m, "mean")):
        for i, vector in zip(numbers, vectors, strict=True):
            assert torch.allclose(vector, alone(model, ROWS[i], -1, "mean"), atol=1e-5)


def test_known_families_share_their_prompts():
    for family in ("llama", "gemma", "gemma2", "qwen2", "qwen3", "gpt2", "mistral", "phi3"):
        assert TextReader(network(family), 0, True, None, "").shares, family
