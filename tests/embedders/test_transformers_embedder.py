import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from rmlab.embedders.transformers import TransformersEmbedder
from rmlab.errors import ConfigError
from rmlab.models.bundled.random_tiny import byte_tokenizer, write_random_model
from rmlab.models.compute import Compute
from rmlab.models.text.rendering import Exchange
from rmlab.models.text.tokens import Encoded
from rmlab.models.text.whole_text import encode_whole

POOLINGS = ("mean", "last", "end")
PAIRS = [
    ("Hello", " there"),
    ("Hello", " you, over by the wall"),
    ("A", " b"),
    ("Hello", ""),
    ("Longer one", " c"),
]
EXCHANGES = [Exchange(p, f"r{i}", [{"role": "user", "content": p}], r) for i, (p, r) in enumerate(PAIRS)]


def embed(folder, exchanges=EXCHANGES, **how):
    session = TransformersEmbedder(**how).open(str(folder), "plain", Compute())
    return session.embed(exchanges, lambda rows, tokens: None)


def reference(folder, layer, pooling):
    """One text at a time, without padding or cache."""
    model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    rows = []
    for prompt, response in PAIRS:
        before, after = (tokenizer(t, add_special_tokens=False)["input_ids"] for t in (prompt, response))
        with torch.no_grad():
            out = model(torch.tensor([before + after]), output_hidden_states=True)
        states = out.hidden_states[layer][0]
        states = states[len(before) :] if after else states[-1:]
        rows.append((states.mean(0) if pooling == "mean" else states[-1]).numpy())
    return np.stack(rows)


@pytest.fixture(scope="module")
def bidirectional(tmp_path_factory):
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("bert")
    tokenizer = byte_tokenizer()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
        BertModel(BertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("batch_tokens", [1, 20, None])
@pytest.mark.parametrize("pooling", ["mean", "last", "end"])
@pytest.mark.parametrize("layer", [-1, 0, 1, 2])
def test_vectors_equal_an_unbatched_reference(tiny_model, layer, pooling, batch_tokens):
    found = embed(tiny_model, layer=layer, pooling=pooling, batch_tokens=batch_tokens).vectors
    expected = reference(tiny_model, layer, pooling)
    assert np.linalg.norm(found - expected) / np.linalg.norm(expected) < 1e-4


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_a_bidirectional_model_reads_prompt_and_response_together(bidirectional, pooling):
    found = embed(bidirectional, pooling=pooling).vectors
    expected = reference(bidirectional, -1, pooling)
    assert np.linalg.norm(found - expected) / np.linalg.norm(expected) < 1e-4


def test_one_pass_serves_the_end_beside_other_poolings(tiny_model):
    views = [TransformersEmbedder(pooling=pooling, layer=layer) for layer in (1, -1) for pooling in POOLINGS]
    session = TransformersEmbedder().open(str(tiny_model), "plain", Compute())
    told = []
    found = session.embed_views(EXCHANGES, views, lambda rows, tokens: told.append(rows))
    assert sum(told) == len(EXCHANGES)
    for view, one in zip(views, found, strict=True):
        alone = embed(tiny_model, layer=view.layer, pooling=view.pooling)
        assert np.allclose(one.vectors, alone.vectors, atol=1e-5)
        assert one.n_tokens.tolist() == alone.n_tokens.tolist()


def test_tokens_are_read_as_the_text_is(tiny_model):
    session = TransformersEmbedder(pooling="end").open(str(tiny_model), "plain", Compute())
    rows = encode_whole(EXCHANGES, "plain", session.tokenizer, session.limit)
    expected = session.embed(EXCHANGES, lambda *_: None)
    for given in (rows, [Encoded(row.prompt + row.response, []) for row in rows]):
        found = session.embed_tokens(given, lambda *_: None)
        assert np.allclose(found.vectors, expected.vectors, atol=1e-5)
    long = Encoded(list(range(5, 9)) * session.limit, [])
    cut = session.embed_tokens([long, rows[0]], lambda *_: None)
    kept = session.embed_tokens([Encoded(long.prompt[-session.limit :], [])], lambda *_: None)
    assert cut.truncated.tolist() == [True, False]
    assert np.allclose(cut.vectors[0], kept.vectors[0], atol=1e-5)


def test_pad_being_the_end_token_changes_nothing(tiny_model, tmp_path):
    write_random_model(tmp_path / "m", seed=1)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "m")
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(tmp_path / "m")
    ends = [Exchange("p", str(i), e.messages, e.response + "<eos>") for i, e in enumerate(EXCHANGES)]
    for how in ("mean", "last"):
        assert np.allclose(
            embed(tmp_path / "m", ends, pooling=how).vectors, embed(tiny_model, ends, pooling=how).vectors
        )


def test_what_is_cut_is_counted(tiny_model):
    found = embed(tiny_model, max_tokens=9)
    assert found.truncated.tolist() == [True, True, False, False, True]
    assert found.n_tokens.tolist() == [6, 8, 2, 0, 2]


def test_a_layer_the_model_has_not_is_named(tiny_model):
    with pytest.raises(ConfigError, match="layer=9: .* has layers 0 to 2"):
        embed(tiny_model, layer=9)


def test_the_order_of_rows_is_kept(tiny_model):
    a = embed(tiny_model).vectors
    b = embed(tiny_model, EXCHANGES[::-1]).vectors
    assert np.allclose(a, b[::-1], atol=1e-5)
