"""A saved head is the same head to the bit, and a broken folder is refused in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from hashlib import sha256

import numpy as np
import pytest
from edited import edit

from rmlab.errors import InputError
from rmlab.heads.fitted.base import Standardiser
from rmlab.heads.fitted.linear import LinearHead
from rmlab.heads.fitted.load import load_head
from rmlab.heads.trees import Trees
from rmlab.losses.pairs import Classification


def test_same_bits_after_save_and_load(head, x, tmp_path):
    normalised = head.tempered(2.7).normalised(x[:200])
    normalised.save(tmp_path / "deep" / "head")
    loaded = load_head(tmp_path / "deep" / "head")
    assert type(loaded) is type(head)
    assert loaded.score(x).tobytes() == normalised.score(x).tobytes()
    assert (loaded.gain, loaded.bias) == (normalised.gain, normalised.bias) and loaded.temperature == 2.7
    loaded.save(tmp_path / "again")
    for file in (tmp_path / "again").iterdir():
        assert file.read_bytes() == (tmp_path / "deep" / "head" / file.name).read_bytes()


def test_head_json_says_what_the_head_is(head, tmp_path):
    head.save(tmp_path)
    description = json.loads((tmp_path / "head.json").read_text())
    assert description["kind"] == head.kind
    assert description["d"] == 5
    assert {"gain", "bias", "temperature", "sha256", "format"} <= set(description)
    files = {file.name for file in tmp_path.iterdir()}
    assert files == {"head.json", "head.txt" if head.kind == "trees" else "head.safetensors"}


def replace_payload(folder, content: bytes) -> None:
    payload = next(file for file in folder.iterdir() if file.name != "head.json")
    payload.write_bytes(content)
    edit(folder, sha256=sha256(content).hexdigest())


def other_file(folder):
    return next(file for file in folder.iterdir() if file.name != "head.json")


BREAKS = {
    "no readable head.json": lambda folder: (folder / "head.json").unlink(),
    "head.json is not JSON": lambda folder: (folder / "head.json").write_text("{"),
    "is not of format 4; fit the head again": lambda folder: edit(folder, format=2),
    r"unknown kind 'forest' \(known: linear, mlp, trees, laplace, ensemble, [a-z, ]+\)": lambda folder: edit(
        folder, kind="forest"
    ),
    "no readable head.(safetensors|txt)": lambda folder: other_file(folder).unlink(),
    "is not the file that was saved": lambda folder: other_file(folder).write_bytes(b"cut"),
    "is not a (safetensors file|LightGBM model)": lambda folder: replace_payload(folder, b"cut"),
    r"head.json is incomplete \(KeyError: 'gain'\)": lambda folder: edit(folder, gain=None),
}


@pytest.mark.parametrize("message", BREAKS)
def test_refuses_a_broken_folder(head, message, tmp_path):
    head.save(tmp_path)
    load_head(tmp_path)
    BREAKS[message](tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        load_head(tmp_path)
    assert "\n" not in str(caught.value)


def test_refuses_shapes_that_differ(tmp_path):
    head = LinearHead(weight=np.ones(2), intercept=0.0, standardiser=Standardiser.identity(2))
    head.save(tmp_path)
    edit(tmp_path, shapes={"weight": [3]})
    with pytest.raises(InputError, match="differ in shapes"):
        load_head(tmp_path)


def test_refuses_trees_of_another_width(linear_world, tmp_path):
    Trees(n_estimators=2).fit(linear_world.data, Classification(), 0)[0].save(tmp_path)
    edit(tmp_path, d=6)
    with pytest.raises(InputError, match="has 5 features, not 6"):
        load_head(tmp_path)


def test_the_folder_of_an_artifact_stands_for_the_head_in_it_and_no_other_folder_does(tmp_path):
    """A head that has lost its head.json may hold another: that of a member, which scores otherwise."""
    LinearHead(weight=np.ones(2), intercept=0.0, standardiser=Standardiser.identity(2)).save(
        tmp_path / "head"
    )
    with pytest.raises(InputError, match="no readable head.json"):
        load_head(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    assert load_head(tmp_path).score(np.ones((1, 2))).shape == (1,)


def test_scoring_needs_no_training_code():
    code = "import sys, rmlab.heads.fitted.load; print({'torch', 'scipy', 'sklearn', 'lightgbm'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_no_byte_of_head_json_changes_unseen(head, tmp_path):
    head.save(tmp_path)
    file = tmp_path / "head.json"
    whole = file.read_bytes()
    for at in range(len(whole)):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(InputError):
            load_head(tmp_path)
    file.write_bytes(whole)
    load_head(tmp_path)
