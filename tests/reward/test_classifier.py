"""A head and its model as a sequence classifier: transformers scores 32 texts as rmlab does, by tokens and texts."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from reward_models import linear_head, reward_model, small_model
from safetensors.torch import load_file
from tokenizer_habits import HABITS
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from rmlab.errors import InputError
from rmlab.heads.fitted.base import Standardiser
from rmlab.heads.fitted.mlp import MlpHead
from rmlab.models.text.rendering import Exchange
from rmlab.models.text.tokens import Encoded
from rmlab.models.text.whole_text import encode_whole
from rmlab.reward.classifier import write_classifier

KINDS = {
    "no begin token": ("qwen", "chat"),
    "a begin token by the template": ("llama_3", "chat"),
    "a begin token by the tokenizer": ("gemma", "plain"),
    "pad is the end": ("smollm", "chat"),
    "no pad at all": ("gpt2", "hh"),
    "spaces before texts": ("llama_2", "chat"),
}
QUESTIONS = (
    "Can I freeze cooked risotto?",
    "yes or no",
    "Hi there",
    "The dough rose in the warm kitchen. Why?",
)
ANSWERS = (
    "yes",
    "no, the model says no",
    "The assistant rose",
    "maybe maybe maybe maybe",
    "a",
    "Hi! Hi! Hi!",
    "Human: yes",
    "it is warm in the kitchen, and the dough rose and rose and rose until it was over",
)
PAIRS = [(q, a) for q in QUESTIONS for a in ANSWERS]


def exchanges():
    return [Exchange(f"p{k}", f"r{k}", [{"role": "user", "content": q}], a) for k, (q, a) in enumerate(PAIRS)]


@pytest.fixture(scope="module", params=KINDS)
def exported(request, tmp_path_factory):
    """(reward model, folder of the classifier, what the export says of it)"""
    habit, template = KINDS[request.param]
    tokenizer = next(h for h in HABITS if h.name == habit).tokenizer()
    place = tmp_path_factory.mktemp("exported")
    model = reward_model(small_model(place / "base", tokenizer), template)
    return model, place / "made", write_classifier(model, place / "made")


def logits(folder, rows, side="right"):
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side=side)
    classifier = AutoModelForSequenceClassification.from_pretrained(folder).train(False)
    batch = tokenizer.pad({"input_ids": rows}, return_tensors="pt")
    with torch.inference_mode():
        return classifier(**batch).logits[:, 0].double().numpy()


def same(theirs, ours):
    np.testing.assert_allclose(theirs, ours, atol=1e-4)
    assert np.array_equal(np.argsort(theirs, kind="stable"), np.argsort(ours, kind="stable"))


@pytest.mark.parametrize("side", ["left", "right"])
def test_by_tokens_scores_are_the_heads_less_a_constant(exported, side):
    model, folder, done = exported
    rows = encode_whole(exchanges(), model.origin.template, model.embedder.tokenizer, 512)
    ours = model.score_tokens(rows).score
    assert np.ptp(ours) > 0.1 and done.difference < 1e-4
    same(logits(folder, [r.prompt + r.response for r in rows], side) + done.constant, ours)


def test_by_text_other_programs_make_the_same_tokens(exported):
    model, folder, done = exported
    tokenizer = AutoTokenizer.from_pretrained(folder)
    talks = [[{"role": "user", "content": q}, {"role": "assistant", "content": a}] for q, a in PAIRS]
    rows = tokenizer.apply_chat_template(talks, tokenize=True, return_dict=False)
    ours = model.score([q for q, _ in PAIRS], [a for _, a in PAIRS])
    same(logits(folder, rows) + done.constant, ours)


def test_a_pad_token_inside_a_text_changes_nothing(exported):
    model, folder, done = exported
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if tokenizer.pad_token_id >= model.embedder.model.config.vocab_size:
        assert done.pad == "<|rmlab_pad|>"  # made for the export: no text that the base reads has it
        return
    [row] = encode_whole(exchanges()[:1], model.origin.template, tokenizer, 512)
    whole = row.prompt + row.response
    odd = [*whole[:3], tokenizer.pad_token_id, tokenizer.pad_token_id, *whole[3:]]
    ours = model.score_tokens([Encoded(odd, []), Encoded(whole, [])]).score
    same(logits(folder, [odd, whole]) + done.constant, ours)
    assert abs(ours[0] - ours[1]) > 1e-3


def test_the_pad_token_ends_no_text(exported):
    model, folder, done = exported
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = encode_whole(exchanges(), model.origin.template, tokenizer, 512)
    assert tokenizer.pad_token == done.pad
    assert tokenizer.pad_token_id not in {(r.prompt + r.response)[-1] for r in rows}
    assert tokenizer.pad_token_id != tokenizer.eos_token_id


def test_what_the_folder_says(exported):
    _, folder, done = exported
    config = json.loads((folder / "config.json").read_text())
    assert config["problem_type"] == "regression"
    assert len(config["id2label"]) == 1
    assert config["architectures"] == ["LlamaForSequenceClassification"]
    assert config["dtype"] == "float32"
    weights = load_file(folder / "model.safetensors")
    assert weights["score.weight"].shape == (1, 32) and "score.bias" not in weights
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.model_max_length == done.max_tokens == 512
    assert not list(folder.glob("*.bin"))


def test_bfloat16_is_written_where_it_is_asked_for(tmp_path):
    tokenizer = next(h for h in HABITS if h.name == "qwen").tokenizer()
    model = reward_model(small_model(tmp_path / "base", tokenizer), head=linear_head(32))
    model = replace(model, head=replace(model.head, gain=model.head.gain / 20))
    done = write_classifier(model, tmp_path / "made", "bfloat16")
    weights = load_file(tmp_path / "made" / "model.safetensors")
    assert {w.dtype for w in weights.values()} == {torch.bfloat16}
    assert done.difference < 0.05


def test_one_text_beyond_the_maximum_length_keeps_its_closing(tmp_path):
    tokenizer = next(h for h in HABITS if h.name == "qwen").tokenizer()
    model = reward_model(small_model(tmp_path / "base", tokenizer), max_tokens=40)
    done = write_classifier(model, tmp_path / "made")
    with pytest.warns(UserWarning, match="1 texts were longer"):
        found = model.read(["no " * 200, "no"], ["yes", "yes"])
    assert found.truncated.tolist() == [True, False] and done.max_tokens == 40
    with pytest.raises(InputError, match="longer than the embedding model reads"):
        model.read(["no " * 200], ["yes"], long="refuse")
    theirs = AutoTokenizer.from_pretrained(tmp_path / "made")
    talk = [{"role": "user", "content": "no " * 200}, {"role": "assistant", "content": "yes"}]
    rows = theirs.apply_chat_template(
        [talk], truncation=True, return_dict=False
    )  # cut on the left, as rmlab cuts
    assert len(rows[0]) == 40
    same(logits(tmp_path / "made", rows) + done.constant, found.score[:1])


class TestRefused:
    @pytest.fixture(scope="class")
    def base(self, tmp_path_factory):
        tokenizer = next(h for h in HABITS if h.name == "qwen").tokenizer()
        return small_model(tmp_path_factory.mktemp("base") / "m", tokenizer)

    def refused(self, model, tmp_path, match):
        with pytest.raises(InputError, match=match) as error:
            write_classifier(model, tmp_path)
        assert "\n" not in str(error.value) and "rmlab fit-rm" in str(error.value)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("pooling", ["mean", "last"])
    def test_another_pooling(self, base, tmp_path, pooling):
        self.refused(reward_model(base, pooling=pooling), tmp_path, f"pooling={pooling}.* pools the end")

    def test_another_layer(self, base, tmp_path):
        self.refused(
            reward_model(base, layer=1), tmp_path, "layer 1 of 2, and a sequence classifier reads the last"
        )

    def test_another_embedder(self, base, tmp_path):
        model = reward_model(base)
        other = replace(model.origin, embedder={"_name_": "hashing"}, model="", identity="")
        self.refused(replace(model, origin=other), tmp_path, "embeddings of the embedder hashing")

    def test_a_head_that_is_not_linear(self, base, tmp_path):
        layers = [
            (np.zeros((4, 32), np.float32), np.zeros(4, np.float32)),
            (np.zeros((1, 4), np.float32), np.zeros(1, np.float32)),
        ]
        head = MlpHead(layers=layers, standardiser=Standardiser.identity(32))
        self.refused(reward_model(base, head=head), tmp_path, "of the kind mlp and not linear")

    def test_a_model_whose_classifier_has_another_head(self, tmp_path):
        """GPT-NeoX and others call it differently; Bert pools its first token."""
        from transformers import BertConfig, BertModel

        tokenizer = next(h for h in HABITS if h.name == "qwen").tokenizer()
        sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
        BertModel(BertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(tmp_path / "bert")
        tokenizer.save_pretrained(tmp_path / "bert")
        (tmp_path / "made").mkdir()
        self.refused(reward_model(tmp_path / "bert"), tmp_path / "made", "BertConfig has no scoring layer")
