"""Model folders of strangers: what leads out of them, and what does not do what models do, is one line."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from rmlab.errors import InputError
from rmlab.models.compute import Compute
from rmlab.models.folder_check import check_files
from rmlab.samplers.transformers import TransformersSampler

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


@pytest.fixture
def folder(tiny_model, tmp_path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def opened(folder: Path) -> object:
    return TransformersSampler().open(folder, "chat", Compute(device="cpu"))


def changed(file: Path, **values: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def sharded(folder: Path, place: object) -> None:
    """The weights in a file beside an index, which names `place` for each of them."""
    names = list(load_file(folder / WEIGHTS))
    (folder / WEIGHTS).rename(folder / "part.safetensors")
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": dict.fromkeys(names, place)}))


def test_a_sharded_model_is_opened(folder):
    sharded(folder, "part.safetensors")
    opened(folder)


@pytest.mark.parametrize(
    "place", ["../other/part.safetensors", "/etc/passwd", "x/../part.safetensors", 3, None, ""]
)
def test_an_index_that_leads_out_of_the_folder_is_refused(folder, place):
    sharded(folder, place)
    with pytest.raises(InputError, match="which is no file of its folder"):
        opened(folder)


@pytest.mark.parametrize("text", ["[]", "{", '{"weight_map": [1]}', "{}"])
def test_an_index_of_another_form_is_refused(folder, text):
    (folder / INDEX).write_text(text)
    with pytest.raises(InputError, match="index.json cannot be read"):
        opened(folder)


@pytest.mark.parametrize("name", [WEIGHTS, "config.json", "tokenizer.json"])
def test_a_link_out_of_the_folder_is_refused(folder, tmp_path, name):
    (folder / name).rename(tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)
    with pytest.raises(InputError, match="is a link out of its folder"):
        opened(folder)


def test_a_snapshot_links_to_the_blobs_beside_it_and_to_nothing_else(folder, tmp_path):
    home = tmp_path / "models--some--model"
    blobs, snapshot = home / "blobs", home / "snapshots" / "abc"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for number, file in enumerate(sorted(folder.iterdir())):
        shutil.copyfile(file, blobs / str(number))
        (snapshot / file.name).symlink_to(f"../../blobs/{number}")
    opened(snapshot)
    (snapshot / "more.json").symlink_to(folder / "config.json")
    with pytest.raises(InputError, match="is a link out of its folder"):
        check_files(snapshot)


def test_a_link_within_the_folder_is_followed(folder):
    (folder / WEIGHTS).rename(folder / "kept.safetensors")
    (folder / WEIGHTS).symlink_to("kept.safetensors")
    opened(folder)


def test_a_pipe_is_not_waited_for(folder):
    os.mkfifo(folder / "chat_template.txt")
    with pytest.raises(InputError, match="is no plain file"):
        opened(folder)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is 1,000,000,000, and no model has more than"),
        ({"num_hidden_layers": -1}, "cannot load the model"),
        ({"text_config": {"n_layers": 10**6}}, "n_layers is 1,000,000"),
        ({"hidden_size": 0}, "its weights have other shapes than config.json says"),
        ({"hidden_size": 10**12}, "its weights have other shapes than config.json says"),
        ({"hidden_size": "x"}, "cannot load its tokenizer"),
        ({"vocab_size": -1}, "cannot load the model"),
        ({"dtype": "nope"}, "cannot load its tokenizer"),
        ({"rope_parameters": "x"}, "cannot load"),
        ({"sliding_window": -1}, "cannot load the model"),
    ],
)
def test_odd_values_in_a_configuration_are_one_line(folder, values, message):
    changed(folder / "config.json", **values)
    with pytest.raises(InputError, match=message):
        opened(folder)


@pytest.mark.parametrize("value", [1e30, 0, -1, "x", None, [1]])
def test_a_longest_input_that_is_no_number_is_not_one(folder, value):
    changed(folder / "tokenizer_config.json", model_max_length=value)
    try:
        assert opened(folder).context == 512
    except InputError as error:
        assert "cannot load its tokenizer" in str(error)


@pytest.mark.parametrize("spoil", [torch.nan, torch.inf])
def test_weights_that_are_no_numbers_are_refused(folder, spoil):
    weights = {name: torch.full_like(w, spoil) for name, w in load_file(folder / WEIGHTS).items()}
    save_file(weights, folder / WEIGHTS, {"format": "pt"})
    with pytest.raises(InputError, match="its weights are not finite numbers"):
        opened(folder)


def test_a_tokenizer_with_tokens_that_the_model_has_not_is_refused(folder):
    state = json.loads((folder / "tokenizer.json").read_text())
    state["model"]["vocab"]["aa"] = 10**6
    (folder / "tokenizer.json").write_text(json.dumps(state))
    with pytest.raises(InputError, match="its tokenizer has a token 1000000, and the model only 259"):
        opened(folder)


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"]
)
@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"\xff\xfe{", b"[" * 100_000])
def test_a_file_of_another_form_is_one_line_or_not_needed(folder, name, content):
    (folder / name).write_bytes(content)
    try:
        opened(folder)
    except InputError as error:
        assert str(folder) in str(error)
