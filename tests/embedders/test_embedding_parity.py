"""Batched embeddings against one text at a time through transformers alone, for several kinds of models."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import (
    AutoModel,
    BertConfig,
    BertModel,
    GemmaConfig,
    GemmaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from rmlab.embedders.transformers import TransformersEmbedder
from rmlab.models.bundled.random_tiny import byte_tokenizer, write_random_model
from rmlab.models.compute import Compute
from rmlab.models.text.rendering import Exchange

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
DECODER = SIZES | {"num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 512}
KINDS = {
    "gemma": (GemmaForCausalLM, GemmaConfig, DECODER),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config, DECODER),
    "bert": (BertModel, BertConfig, SIZES),
}
LAYERS = (0, 1, 2, -1)
VIEWS = [
    TransformersEmbedder(layer=layer, pooling=pooling) for layer in LAYERS for pooling in ("mean", "last")
]
RESPONSES = [" there", "", " you, over by the wall, are late again", " b", " no", " what is this"]
SHARED = [("Hello, and a good day to you", r) for r in RESPONSES] + [("Another", r) for r in RESPONSES]
UNSHARED = [("x" * (1 + 3 * k), r) for k, r in enumerate(RESPONSES)] + [("y", RESPONSES[2] * 4)]
PROMPTS = {"shared": SHARED, "unshared": UNSHARED}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A random model of each kind, whose pad token is its end token."""
    found, tokenizer = {}, byte_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token
    for name, (cls, config, sizes) in KINDS.items():
        found[name] = tmp_path_factory.mktemp(name)
        with torch.random.fork_rng():
            torch.manual_seed(3)
            ids = {"pad_token_id": 2, "bos_token_id": 1, "eos_token_id": 2}
            cls(config(vocab_size=len(tokenizer), **sizes, **ids)).save_pretrained(found[name])
    found["llama"] = tmp_path_factory.mktemp("llama")
    write_random_model(found["llama"], seed=3, pad_token_id=2)
    for folder in found.values():
        tokenizer.save_pretrained(folder)
    return found


def reference(folder, pairs):
    """[view, text, d] in float32, without padding, cache or batches."""
    model, tokenizer = AutoModel.from_pretrained(folder, dtype=torch.float32), byte_tokenizer()
    rows = []
    for prompt, response in pairs:
        before, after = (tokenizer(t, add_special_tokens=False)["input_ids"] for t in (prompt, response))
        with torch.no_grad():
            states = model(torch.tensor([before + after]), output_hidden_states=True).hidden_states
        of_response = slice(len(before), None) if after else slice(-1, None)
        kept = {layer: states[layer][0, of_response] for layer in LAYERS}
        rows.append([kept[v.layer].mean(0) if v.pooling == "mean" else kept[v.layer][-1] for v in VIEWS])
    return np.array([[view.numpy() for view in row] for row in rows]).swapaxes(0, 1)


def embed(folder, pairs, dtype, batch_tokens):
    exchanges = [Exchange(p, str(k), [{"role": "user", "content": p}], r) for k, (p, r) in enumerate(pairs)]
    how = TransformersEmbedder(model=str(folder), batch_tokens=batch_tokens)
    found = how.open("", "plain", Compute(dtype)).embed_views(exchanges, VIEWS, lambda *_: None)
    assert all(f.vectors.dtype == np.float32 for f in found)
    return np.stack([f.vectors for f in found])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("prompts", PROMPTS)
@pytest.mark.parametrize("kind", [*KINDS, "llama"])
def test_every_layer_and_pooling_is_that_of_the_text_alone(folders, kind, prompts, dtype):
    expected = reference(folders[kind], PROMPTS[prompts])
    for batch_tokens in (50, None):
        found = embed(folders[kind], PROMPTS[prompts], dtype, batch_tokens)
        far = np.linalg.norm(found - expected, axis=(1, 2)) / np.linalg.norm(expected, axis=(1, 2))
        assert far.max() <= (1e-4 if dtype == "float32" else 2e-2), dict(zip(VIEWS, far))


def test_bfloat16_is_pooled_in_float32(folders):
    """A mean rounded to bfloat16 would have no more than 8 bits."""
    found = embed(folders["llama"], UNSHARED, "bfloat16", 64)
    rounded = torch.from_numpy(found).to(torch.bfloat16).float().numpy()
    means = [k for k, view in enumerate(VIEWS) if view.pooling == "mean"]
    assert all(not np.array_equal(found[k], rounded[k]) for k in means)
    assert all(np.array_equal(found[k], rounded[k]) for k in range(len(VIEWS)) if k not in means)
