"""An exported head in vLLM's pooling runner: 32 texts score as in rmlab and in transformers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from reward_models import linear_head, reward_model
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from vllm import TokensPrompt

from rmlab.models.compute import Compute
from rmlab.models.text.rendering import Exchange
from rmlab.models.text.tokens import Encoded
from rmlab.models.text.whole_text import encode_whole
from rmlab.reward.classifier import write_classifier
from rmlab.samplers.vllm_engine import open_engine

QUESTIONS = ("What is the capital of France?", "Why is the sky blue?", "Write a line of a poem.", "Hello")
ANSWERS = (
    "Paris.",
    "I do not know.",
    "Because the light of the sun is scattered by the air, the blue more than the red.",
    "The rain has come and gone, and come again; the fields are green, and every lane is mud.",
    "yes",
    "No! No! No!",
    "That is a good question.",
    "12345 67890",
)
PAIRS = [(q, a) for q in QUESTIONS for a in ANSWERS]


@pytest.fixture(scope="module")
def exported(smollm2, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    model = reward_model(smollm2, head=linear_head(576), d=576)
    return model, folder, write_classifier(model, folder)


@pytest.fixture(scope="module")
def engine(exported):
    made = {"runner": "pooling", "dtype": "float32", "max_model_len": 256}
    engine = open_engine(exported[1], Compute(device="cpu"), made)
    yield engine
    engine.close()


def vllm_scores(engine, rows):
    found = engine.llm.classify([TokensPrompt(prompt_token_ids=row) for row in rows], use_tqdm=False)
    return np.array([one.outputs.probs[0] for one in found], dtype=float)


def same(theirs, ours):
    np.testing.assert_allclose(theirs, ours, atol=1e-4)
    assert np.array_equal(np.argsort(theirs, kind="stable"), np.argsort(ours, kind="stable"))


def test_by_tokens_all_three_give_the_same_scores(exported, engine):
    model, folder, done = exported
    tokenizer = AutoTokenizer.from_pretrained(folder)
    exchanges = [
        Exchange(f"p{k}", f"r{k}", [{"role": "user", "content": q}], a) for k, (q, a) in enumerate(PAIRS)
    ]
    rows = [row.prompt + row.response for row in encode_whole(exchanges, "chat", tokenizer, 256)]
    rows[5] = [*rows[5][:4], tokenizer.pad_token_id, *rows[5][4:]]  # a pad token inside a text
    ours = model.score_tokens([Encoded(row, []) for row in rows]).score
    classifier = AutoModelForSequenceClassification.from_pretrained(folder).train(False)
    batch = tokenizer.pad({"input_ids": rows}, return_tensors="pt")
    with torch.inference_mode():
        transformers = classifier(**batch).logits[:, 0].double().numpy()
    same(transformers + done.constant, ours)
    same(vllm_scores(engine, rows) + done.constant, ours)


def test_by_text_vllm_makes_the_same_tokens(exported, engine):
    model, folder, done = exported
    template = AutoTokenizer.from_pretrained(folder).chat_template
    talks = [[{"role": "user", "content": q}, {"role": "assistant", "content": a}] for q, a in PAIRS]
    theirs = engine.llm.get_tokenizer()
    assert theirs.chat_template == template
    rows = theirs.apply_chat_template(talks, tokenize=True, return_dict=False)
    ours = model.score([q for q, _ in PAIRS], [a for _, a in PAIRS])
    same(vllm_scores(engine, rows) + done.constant, ours)
