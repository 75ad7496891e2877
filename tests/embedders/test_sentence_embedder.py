"""Folders of sentence-transformers, in the layouts that its versions write, against the definition of each module."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tokenizers.processors import TemplateProcessing
from transformers import AutoModel, BertConfig, BertModel

from rmlab.embedders.sentence import SentenceEmbedder
from rmlab.errors import InputError, RmlabError
from rmlab.models.bundled.random_tiny import byte_tokenizer
from rmlab.models.compute import Compute
from rmlab.models.text.rendering import Exchange

OLD, NEW = "sentence_transformers.models.", "sentence_transformers.base.modules.x."
OLD_KEYS = {
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "mean": "pooling_mode_mean_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}
PAIRS = [("Hello", " there"), ("Hello", " you, over by the wall"), ("A", " b"), ("Longer one", "")]
BOS, EOS = 1, 2


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sentence") / "m"
    tokenizer = byte_tokenizer()
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", BOS), ("<eos>", EOS)]
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
        config = BertConfig(vocab_size=len(tokenizer), pad_token_id=0, **sizes)
        BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write(path, value):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value))


def make(network, target, pooling, *after, style=NEW):
    """A copy with modules; after: (kind, config) of each that follows the pooling."""
    shutil.copytree(network, target)
    kinds = ["Transformer", "Pooling", *(kind for kind, _ in after)]
    places = ["", *(f"{k}_{kind}" for k, kind in enumerate(kinds) if k)]
    listed = [
        {"idx": k, "name": str(k), "path": p, "type": style + kind}
        for k, (kind, p) in enumerate(zip(kinds, places))
    ]
    write(target / "modules.json", listed)
    write(target / "1_Pooling" / "config.json", pooling)
    for (_, config), place in zip(after, places[2:]):
        if config is not None:
            write(target / place / "config.json", config)
    return target


def dense(target, place, bias=True, seed=0):
    rng = torch.Generator().manual_seed(seed)
    weights = {"linear.weight": torch.randn(5, 32, generator=rng)}
    if bias:
        weights["linear.bias"] = torch.randn(5, generator=rng)
    (target / place).mkdir(exist_ok=True)
    save_file(weights, target / place / "model.safetensors")
    return weights


def embed(folder, pairs=PAIRS, dtype="float32", **how):
    exchanges = [Exchange(p, str(k), [{"role": "user", "content": p}], r) for k, (p, r) in enumerate(pairs)]
    session = SentenceEmbedder(model=str(folder), **how).open("unused", "chat", Compute(dtype))
    found = session.embed(exchanges, lambda *_: None)
    assert found.vectors.shape[1] == session.dimension
    return found


def states(folder, pairs=PAIRS):
    """[t, d] of each text, one at a time, with the tokens that the tokenizer puts around it."""
    model, found = AutoModel.from_pretrained(folder), []
    for prompt, response in pairs:
        ids = [BOS, *byte_tokenizer()(prompt + response, add_special_tokens=False)["input_ids"], EOS]
        with torch.no_grad():
            found.append(model(torch.tensor([ids])).last_hidden_state[0])
    return found


POOLS = {
    "cls": lambda s: s[0],
    "max": lambda s: s.max(dim=0).values,
    "mean": lambda s: s.mean(dim=0),
    "mean_sqrt_len_tokens": lambda s: s.sum(dim=0) / len(s) ** 0.5,
    "weightedmean": lambda s: (s * torch.arange(1, len(s) + 1)[:, None]).sum(dim=0) / sum(range(len(s) + 1)),
    "lasttoken": lambda s: s[-1],
}


def close(found, expected, tolerance=1e-5):
    expected = np.stack([np.asarray(v) for v in expected])
    return np.linalg.norm(found - expected) / np.linalg.norm(expected) < tolerance


@pytest.mark.parametrize("batch_size", [1, 3, 64])
@pytest.mark.parametrize("mode", POOLS)
def test_a_pooling_is_its_definition_in_both_layouts(network, tmp_path, mode, batch_size):
    new = {"embedding_dimension": 32, "pooling_mode": mode, "include_prompt": True}
    old = {"word_embedding_dimension": 32, **{key: name == mode for name, key in OLD_KEYS.items()}}
    expected = [POOLS[mode](s) for s in states(network)]
    for name, config, style in (("new", new, NEW), ("old", old, OLD)):
        found = embed(make(network, tmp_path / name, config, style=style), batch_size=batch_size)
        assert close(found.vectors, expected)
        assert found.n_tokens.tolist() == [6, 22, 2, 0] and not found.truncated.any()


def test_several_poolings_stand_side_by_side(network, tmp_path):
    old = {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}
    expected = [torch.cat([POOLS["cls"](s), POOLS["mean"](s)]) for s in states(network)]
    assert close(embed(make(network, tmp_path / "old", old)).vectors, expected)
    swapped = [torch.cat([e[32:], e[:32]]) for e in expected]
    assert close(embed(make(network, tmp_path / "new", {"pooling_mode": ["mean", "cls"]})).vectors, swapped)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", ["activation.Tanh", "linear.Identity", "activation.GELU"])
def test_dense_and_normalisation_follow(network, tmp_path, activation, bias):
    config = {
        "in_features": 32,
        "out_features": 5,
        "bias": bias,
        "activation_function": f"torch.nn.modules.{activation}",
    }
    folder = make(network, tmp_path / "m", {"pooling_mode": "mean"}, ("Dense", config), ("Normalize", None))
    weights = dense(folder, "2_Dense", bias)
    act = getattr(torch.nn, activation.rpartition(".")[2])()
    expected = []
    for s in states(network):
        x = act(weights["linear.weight"] @ s.mean(dim=0) + weights.get("linear.bias", 0))
        expected.append(x / x.norm())
    found = embed(folder).vectors
    assert found.shape == (4, 5) and close(found, expected)


def test_compute_in_bfloat16_pools_and_normalises_in_float32(network, tmp_path):
    folder = make(network, tmp_path / "m", {"pooling_mode": "mean"}, ("Normalize", None))
    found = embed(folder, dtype="bfloat16").vectors
    expected = [(m := s.mean(dim=0)) / m.norm() for s in states(network)]
    assert found.dtype == np.float32 and close(found, expected, 2e-2) and not close(found, expected, 1e-5)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_the_length_it_was_trained_for_is_kept_to(network, tmp_path):
    """What is too long loses the start of its prompt; begin and end token count."""
    folder = make(network, tmp_path / "m", {"pooling_mode": "mean"})
    write(folder / "sentence_bert_config.json", {"max_seq_length": 12, "do_lower_case": False})
    found = embed(folder, [("abcdefgh", " xyz"), ("efghij", " xyz"), ("a", "b" * 20)])
    assert found.truncated.tolist() == [True, False, True] and found.n_tokens.tolist() == [4, 4, 9]
    kept = states(network, [("cdefgh", " xyz"), ("efghij", " xyz"), ("a", "b" * 9)])
    assert close(found.vectors, [s.mean(dim=0) for s in kept])
    assert embed(folder, [("efghij", " xyz")], max_tokens=10).truncated.tolist() == [True]
    assert embed(folder, [("efghij", " xyz")], max_tokens=400).truncated.tolist() == [False]


def test_what_it_cannot_do_is_one_line(network, tmp_path):
    mean = {"pooling_mode": "mean"}
    lower = make(network, tmp_path / "lower", mean)
    write(lower / "sentence_bert_config.json", {"do_lower_case": True})
    told = make(network, tmp_path / "told", mean)
    write(
        told / "config_sentence_transformers.json", {"prompts": {"q": "query: "}, "default_prompt_name": "q"}
    )
    swish = {"activation_function": "mine.Swish"}
    half = {"activation_function": "torch.nn.modules.activation.Tanh"}
    bad = {
        "has no module WeightedLayerPooling, only Dense, Normalize": make(network, tmp_path / "w", mean, ("WeightedLayerPooling", {})),
        "its modules are Transformer, Dense; ": make(network, tmp_path / "d", mean),
        "has no activation Swish": make(network, tmp_path / "s", mean, ("Dense", swish)),
        "has no residual layers": make(network, tmp_path / "r", mean, ("Dense", half | {"use_residual": True})),
        "model.safetensors is missing": make(network, tmp_path / "p", mean, ("Dense", half)),
        "unknown pooling attention; there is: cls, max": make(network, tmp_path / "a", {"pooling_mode": "attention"}),
        "modules.json cannot be read .*use embedder=transformers": network,
        "needs its texts in lower case": lower,
        "puts an instruction before every text": told,
    }  # fmt: skip
    write(
        tmp_path / "d" / "modules.json",
        [{"type": "x.Transformer", "path": ""}, {"type": "x.Dense", "path": "1"}],
    )
    for message, folder in bad.items():
        with pytest.raises(InputError, match=message) as found:
            embed(folder)
        assert "\n" not in str(found.value)


def test_batches_that_do_not_fit_are_halved(network, tmp_path, monkeypatch, capsys):
    folder = make(network, tmp_path / "m", {"pooling_mode": "mean"})
    whole, forward, sizes = embed(folder).vectors, BertModel.forward, []

    def narrow(self, input_ids, **more):
        sizes.append(len(input_ids))
        if len(input_ids) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(self, input_ids, **more)

    monkeypatch.setattr(BertModel, "forward", narrow)
    monkeypatch.setattr("rmlab.models.compute.try_model", lambda model: None)  # reads no batch
    assert np.allclose(embed(folder).vectors, whole, atol=1e-5) and sizes == [4, 2, 1, 1, 1, 1]
    assert "out of memory with a batch of 4: goes on with 2\n" in capsys.readouterr().err
    monkeypatch.setattr(BertModel, "forward", lambda *a, **k: torch.empty(2**58))
    with pytest.raises(RmlabError, match="lower embedder.max_tokens"):
        embed(folder)
