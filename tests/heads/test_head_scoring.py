"""Fitted heads: normalised rewards, bounded memory, the same bits after save and load, clear refusals."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from hashlib import sha256

import numpy as np
import pytest

from rmlab.errors import InputError
from rmlab.heads.base import LinearHead, Standardiser
from rmlab.heads.linear import Linear
from rmlab.heads.load import load_head
from rmlab.heads.mlp import Mlp
from rmlab.heads.trees import Trees
from rmlab.losses.classification import Classification

FITTERS = {
    "linear": Linear(l2=0.01),
    "mlp": Mlp(hidden=[16, 8], epochs=3, batch_size=64),
    "trees": Trees(n_estimators=20, early_stopping_rounds=3),
}


@pytest.fixture(params=FITTERS)
def head(request, linear_world):
    return FITTERS[request.param].fit(linear_world.data, Classification(), 0)[0]


@pytest.fixture
def x(linear_world) -> np.ndarray:
    return linear_world.data.x


def test_normalised_on_the_reference(head, x):
    reference = x[:200]
    normalised = head.normalised(reference)
    scores = normalised.score(reference)
    assert scores.dtype == np.float64
    assert abs(scores.mean()) < 1e-9
    assert scores.std() == pytest.approx(1.0, abs=1e-9)
    assert abs(head.score(reference).std() - 1) > 1e-3  # there was something to do
    assert np.array_equal(np.argsort(normalised.score(x)), np.argsort(head.score(x)))
    again = normalised.normalised(reference)
    assert (again.gain, again.bias) == (normalised.gain, normalised.bias)


def test_constant_scores_keep_gain_one():
    head = LinearHead(weight=np.zeros(2), intercept=0.3, standardiser=Standardiser.identity(2))
    normalised = head.normalised(np.ones((7, 2), dtype=np.float32))
    assert normalised.gain == 1.0
    assert normalised.score(np.ones((1, 2)))[0] == pytest.approx(0.0, abs=1e-15)


def test_same_bits_after_save_and_load(head, x, tmp_path):
    normalised = head.normalised(x[:200])
    normalised.save(tmp_path / "deep" / "head")
    loaded = load_head(tmp_path / "deep" / "head")
    assert type(loaded) is type(head)
    assert loaded.score(x).tobytes() == normalised.score(x).tobytes()
    assert (loaded.gain, loaded.bias) == (normalised.gain, normalised.bias)
    loaded.save(tmp_path / "again")
    for file in (tmp_path / "again").iterdir():
        assert file.read_bytes() == (tmp_path / "deep" / "head" / file.name).read_bytes()


def test_head_json_says_what_the_head_is(head, tmp_path):
    head.save(tmp_path)
    description = json.loads((tmp_path / "head.json").read_text())
    assert description["kind"] == head.kind
    assert description["d"] == 5
    assert {"gain", "bias", "sha256", "format"} <= set(description)
    files = {file.name for file in tmp_path.iterdir()}
    assert files == {"head.json", "head.txt" if head.kind == "trees" else "head.safetensors"}


def test_many_rows_score_as_few(head, x):
    many = np.tile(x, (6, 1))
    assert len(many) > 2 * 8192
    np.testing.assert_allclose(head.score(many), np.tile(head.score(x), 6), atol=1e-5)


def test_half_precision_embeddings_are_taken(head, x):
    half = x.astype(np.float16)
    np.testing.assert_allclose(head.score(half), head.score(half.astype(np.float32)), atol=1e-6)


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_memory_is_bounded(kind, world):
    wide = world(lambda z: z[:, 0], d=64, train=100, validation=50)
    head, _ = FITTERS[kind].fit(wide.data, Classification(), 0)
    x = np.zeros((100_000, 64), dtype=np.float16)  # 51 MB in float64, 26 MB in float32
    tracemalloc.start()
    head.score(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16e6


@pytest.mark.parametrize("shape", [(3, 4), (3, 6), (5,)])
def test_refuses_embeddings_of_another_width(head, shape):
    with pytest.raises(InputError, match="embeddings of width 5"):
        head.score(np.zeros(shape, dtype=np.float32))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_refuses_embeddings_that_are_not_finite(head, x, bad):
    x = np.tile(x, (4, 1))
    x[-1, 0] = bad  # in the last block
    with pytest.raises(InputError, match="NaN or infinity"):
        head.score(x)


def test_refuses_an_empty_reference(head, x):
    with pytest.raises(InputError, match="no reference responses"):
        head.normalised(x[:0])


def edit(folder, **changes) -> None:
    path = folder / "head.json"
    description = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in description.items() if value is not None}))


def replace_payload(folder, content: bytes) -> None:
    payload = next(file for file in folder.iterdir() if file.name != "head.json")
    payload.write_bytes(content)
    edit(folder, sha256=sha256(content).hexdigest())


def other_file(folder):
    return next(file for file in folder.iterdir() if file.name != "head.json")


BREAKS = {
    "no readable head.json": lambda folder: (folder / "head.json").unlink(),
    "head.json is not JSON": lambda folder: (folder / "head.json").write_text("{"),
    "is not of format 1": lambda folder: edit(folder, format=2),
    r"unknown kind 'forest' \(known: linear, mlp, trees\)": lambda folder: edit(folder, kind="forest"),
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
    FITTERS["trees"].fit(linear_world.data, Classification(), 0)[0].save(tmp_path)
    edit(tmp_path, d=6)
    with pytest.raises(InputError, match="has 5 features, not 6"):
        load_head(tmp_path)


def test_scoring_needs_no_training_code():
    code = "import sys, rmlab.heads.load; print({'torch', 'scipy', 'sklearn', 'lightgbm'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
