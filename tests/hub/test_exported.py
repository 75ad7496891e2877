"""push and pull of a sequence classifier: its record loses paths, its seal still fits, its code is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from rmlab.storage.files import write_json, write_text
from rmlab.storage.integrity import is_as_sealed, seal_folder


@pytest.fixture
def exported(tmp_path):
    folder = tmp_path / "exported"
    folder.mkdir()
    write_json(folder / "config.json", {"architectures": ["LlamaForSequenceClassification"], "num_labels": 1})
    save_file({"score.weight": np.ones((1, 4), "float32")}, folder / "model.safetensors")
    write_json(folder / "rmlab_export.json", {"origin": {"model": "/home/someone/secret/base"}})
    write_text(folder / "README.md", "---\nlicense: mit\n---\n\n# A classifier\n")
    seal_folder(folder)
    return folder


def test_it_comes_back_sealed_and_without_paths(cli, world, exported, tmp_path):
    assert cli("push", exported, "me/classifier", "--yes").code == 0
    files = world.repos["model", "me/classifier"].files
    assert json.loads(files["rmlab_export.json"]) == {"origin": {"model": "base"}}
    done = cli("pull", "me/classifier", tmp_path / "back")
    assert done.code == 0 and "vllm serve" in done.out
    assert is_as_sealed(tmp_path / "back") and is_as_sealed(exported)
    assert (tmp_path / "back/model.safetensors").read_bytes() == files["model.safetensors"]


def test_a_file_that_was_changed_on_the_hub_breaks_the_seal(cli, world, exported, tmp_path):
    assert cli("push", exported, "me/classifier", "--yes").code == 0
    world.repos["model", "me/classifier"].files["model.safetensors"] += b"\0"
    assert "sealed.json" in cli("pull", "me/classifier", tmp_path / "back").line
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"architectures": ["LlamaForSequenceClassification"], "auto_map": {}}, "auto_map"),
        ({"architectures": ["LlamaForCausalLM"]}, "rmlab export DIR --to transformers"),
        ([], "cannot be read"),
    ],
)
def test_other_models_are_not_sent(cli, world, exported, config, said):
    write_json(exported / "config.json", config)
    assert said in cli("push", exported, "me/x", "--yes").line and world.asked == []


def test_a_classifier_without_a_card_or_with_another_file_is_not_sent(cli, world, exported):
    (exported / "model.safetensors").write_bytes(b"")
    assert "sealed.json" in cli("push", exported, "me/x", "--yes").line
    (exported / "sealed.json").unlink()
    (exported / "README.md").unlink()
    assert "no README.md" in cli("push", exported, "me/x", "--yes").line
    assert world.asked == []
