"""Fused layers and products that are laid out give what the model gives, or are not taken."""

import copy

import numpy as np
import pytest
import torch
from test_decoder import FAMILIES, check, small

from rmlab.models.decoding import fused, products
from rmlab.models.decoding.decoder import FusedDecoder, SharedDecoder, fuse_model, may_share
from rmlab.models.decoding.fused import fuse
from rmlab.models.decoding.products import Product, lay_out_products
from rmlab.models.decoding.text_reader import ClassifierReader
from rmlab.models.text.tokens import Encoded

FUSED = ("llama", "mistral", "qwen2")


def biased(family):
    """A model whose layers all count: at first biases are zero and weights small."""
    model = small(family)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
        elif "proj" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return model


@pytest.mark.parametrize("room", [True, False])
@pytest.mark.parametrize("family", FUSED)
def test_fused_layers_decode_what_the_model_gives(family, room, monkeypatch):
    monkeypatch.setattr(fused, "has_room", lambda weights: room)
    model = biased(family)
    found = fuse_model(model, 0)
    assert found is not None
    check(copy.deepcopy(biased(family)), FusedDecoder(model, 0, found), steps=40)


@pytest.mark.parametrize("family", FUSED)
def test_the_model_works_on_after_it_was_fused_and_takes_no_more_memory(family):
    model, expected = biased(family), biased(family)
    fuse_model(model, 0)
    attention = model.model.layers[0].self_attn
    start = attention.q_proj.weight.untyped_storage().data_ptr()
    assert attention.v_proj.weight.untyped_storage().data_ptr() == start
    ids = torch.arange(3, 40)[None]
    assert torch.allclose(model(input_ids=ids).logits, expected(input_ids=ids).logits, atol=1e-5)


@pytest.mark.parametrize("layer", [0, 1, 2, -1, -2])
@pytest.mark.parametrize("family", FUSED)
def test_fused_layers_have_the_states_of_each_layer(family, layer):
    model, ids = biased(family).model, torch.arange(3, 43).reshape(2, 20)
    with torch.inference_mode():
        expected = model(input_ids=ids, output_hidden_states=True).hidden_states[layer]
        assert torch.allclose(fuse(model).whole(ids, [layer])[0], expected, atol=1e-5)


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - set(FUSED)))
def test_other_families_keep_their_layers_with_products_that_are_laid_out(family):
    model = small(family)
    assert fuse_model(model, 0) is None
    assert may_share(model, 0)
    laid_out = [
        layer for layer in model.modules() if isinstance(layer.__dict__.get("forward"), products._LaidOut)
    ]
    assert len(laid_out) > (1 if family != "gpt2" else 0)  # which has one linear layer
    check(small(family), SharedDecoder(model, 0))


@pytest.mark.parametrize("part", ["_turned", "_normed", "silu"])
def test_layers_that_differ_from_the_models_are_not_taken(part, monkeypatch):
    usual = getattr(fused, part)
    monkeypatch.setattr(fused, part, lambda x, *others: usual(x, *others) * 1.3)
    assert fuse(biased("llama").model) is None
    assert fuse(biased("llama").to(torch.bfloat16).model) is None


def test_fused_layers_in_bfloat16_are_closer_to_float32_than_the_models_own():
    model, ids = (
        small("llama").model,
        torch.randint(3, 90, (4, 60), generator=torch.Generator().manual_seed(0)),
    )
    with torch.inference_mode():
        expected = model(input_ids=ids).last_hidden_state
        model = model.to(torch.bfloat16)
        usual = model(input_ids=ids).last_hidden_state.float()
        found = fuse(model).whole(ids, [-1])[0].float()
    assert (found - expected).norm() < (usual - expected).norm() < 0.03 * expected.norm()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [(1,), (7,), (2, 3), (300,)])
def test_a_product_that_is_laid_out_is_the_product(rows, dtype):
    generator = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(50, 30, generator=generator), torch.randn(50, generator=generator)
    x = torch.randn(*rows, 30, generator=generator)
    expected = x.double() @ weight.double().T + bias.double()
    with torch.inference_mode():
        found = Product(weight.to(dtype), bias.to(dtype), lay_out=True)(x.to(dtype))
    assert found.shape == expected.shape
    assert torch.allclose(found.double(), expected, atol=1e-5 if dtype == torch.float32 else 0.3)


def test_a_model_whose_weights_change_their_type_multiplies_by_the_new_ones():
    model, expected, ids = (
        small("gemma").bfloat16(),
        small("gemma").bfloat16().float(),
        torch.arange(3, 30)[None],
    )
    lay_out_products(model)
    with torch.inference_mode():
        model(input_ids=ids)
        assert torch.equal(model.float()(input_ids=ids).logits, expected(input_ids=ids).logits)


def test_products_are_not_laid_out_where_memory_is_short(monkeypatch):
    monkeypatch.setattr(products, "memory_bytes", lambda: 1)
    model = small("gemma")
    lay_out_products(model)
    assert not any(isinstance(layer.__dict__.get("forward"), products._LaidOut) for layer in model.modules())


def test_a_torch_without_such_products_multiplies_as_usual(monkeypatch):
    products.can_lay_out.cache_clear()
    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", None)
    product = Product(torch.eye(4), None, lay_out=True)
    products.can_lay_out.cache_clear()
    assert product.laid_out is None and torch.equal(product(torch.ones(2, 4)), torch.ones(2, 4))


def test_layers_of_which_some_have_a_bias_are_not_joined():
    model = biased("llama").model
    model.layers[1].self_attn.k_proj.bias = torch.nn.Parameter(torch.ones(16))
    assert fuse(model) is None


def test_the_keys_of_prompts_take_no_more_memory_than_they_need():
    layers = fuse(biased("llama").model)
    keys = layers.keys(torch.arange(3, 43)[None]).layers[0].keys
    assert keys.untyped_storage().nbytes() == keys.numel() * keys.element_size()


def test_a_classifier_that_is_an_encoder_is_read_as_it_is():
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=90, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_labels=1, pad_token_id=0,
    )  # fmt: skip
    model = BertForSequenceClassification(config).eval()
    rows = [Encoded(list(range(5, 5 + n)), list(range(40, 40 + n))) for n in (3, 9, 20)]
    with torch.inference_mode():
        expected = [model(input_ids=torch.tensor([r.prompt + r.response])).logits.item() for r in rows]
    found = np.empty(3)
    for numbers, scores in ClassifierReader(model, 0, None).score(rows):
        found[numbers] = scores
    assert np.allclose(found, expected, atol=1e-5)
