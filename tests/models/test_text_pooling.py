"""Where pad is a token that texts hold, or none was set: pooled is the last real token, in any batch."""

import numpy as np
import pytest
import torch
from tokenizer_habits import HABITS

from rmlab.embedders.transformers import TransformersEmbedder
from rmlab.goldens.sequence_classifier import SequenceClassifier
from rmlab.models.bundled.random_tiny import write_random_model
from rmlab.models.compute import Compute
from rmlab.models.text.rendering import Exchange, render
from rmlab.models.text.tokens import encode, encode_prompt
from rmlab.samplers.transformers import TransformersSampler

COMPUTE = Compute(device="cpu")
_ANSWERS = ["yes", "", " no </s> no", "<|im_end|>", "the dough rose in the kitchen", "yes</s></s>"]
EXCHANGES = [
    Exchange(f"p{i // 3}", f"r{i}", [{"role": "user", "content": "Hi" * (i // 3 + 1) + "</s>"}], answer)
    for i, answer in enumerate(_ANSWERS)
]
PADDED_BY_END = [h for h in HABITS if h.name in ("pad_is_eos", "llama_2", "llama_3", "smollm")]


@pytest.fixture(scope="module", params=PADDED_BY_END, ids=str)
def model(request, tmp_path_factory):
    """A folder with a tiny language model of that tokenizer, and one with a tiny reward model."""
    from transformers import LlamaForSequenceClassification

    tokenizer = request.param.make()
    folder = tmp_path_factory.mktemp(request.param.name)
    write_random_model(folder / "model", vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id)
    reward = LlamaForSequenceClassification.from_pretrained(folder / "model", num_labels=1)
    with torch.no_grad():
        torch.manual_seed(3)
        reward.score.weight.normal_()
    reward.save_pretrained(folder / "reward")
    tokenizer.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "reward")
    return folder


@pytest.mark.parametrize("template", ["plain", "chat"])
@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_embeddings_are_those_of_each_text_alone(model, template, pooling):
    from transformers import AutoModel

    opened = TransformersEmbedder(pooling=pooling).open(str(model / "model"), template, COMPUTE)
    found = opened.embed(EXCHANGES, lambda rows, tokens: None).vectors
    tokenizer, network = (
        COMPUTE.load_tokenizer(model / "model"),
        COMPUTE.load_model(AutoModel, model / "model"),
    )
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    for exchange, vector in zip(EXCHANGES, found, strict=True):
        row = encode(exchange, template, tokenizer, 512)
        with torch.inference_mode():
            states = network(input_ids=torch.tensor([row.prompt + row.response])).last_hidden_state[0]
        pooled = states[len(row.prompt) - (0 if row.response else 1) :]
        expected = pooled.mean(dim=0) if pooling == "mean" else pooled[-1]
        np.testing.assert_allclose(vector, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("template", ["plain", "chat"])
def test_scores_are_those_of_each_text_alone(model, template):
    from transformers import AutoModelForSequenceClassification

    score = SequenceClassifier(model=str(model / "reward"), template=template).open(COMPUTE)
    found = list(score(EXCHANGES))
    tokenizer = COMPUTE.load_tokenizer(model / "reward")
    network = COMPUTE.load_model(AutoModelForSequenceClassification, model / "reward")
    for exchange, value in zip(EXCHANGES, found, strict=True):
        row = encode(exchange, template, tokenizer, 512, closing=True)
        with torch.inference_mode():
            states = network.model(input_ids=torch.tensor([row.prompt + row.response])).last_hidden_state
            expected = network.score(states[0, -1]).item()
        assert value == pytest.approx(expected, abs=1e-5)
    assert len({round(v, 6) for v in found}) == len(found)


@pytest.mark.parametrize("template", ["plain", "hh", "chat"])
def test_sampler_and_sft_show_the_same_prompt(model, template):
    opened = TransformersSampler().open(model / "model", template, COMPUTE)
    tokenizer = COMPUTE.load_tokenizer(model / "model")
    for exchange in EXCHANGES:
        shown = opened.encode(exchange.messages)
        assert shown == encode(exchange, template, tokenizer, 512, closing=True).prompt
        assert shown == encode_prompt(render(exchange.messages, "", template, tokenizer), template, tokenizer)
