"""Heads whose checksums agree and whose numbers do not: refused before anything scores with them."""

from __future__ import annotations

import json
import re
from hashlib import sha256

import numpy as np
import pytest

from rmlab.errors import InputError
from rmlab.heads.fitted.base import Standardiser
from rmlab.heads.fitted.linear import LinearHead
from rmlab.heads.fitted.several import EnsembleHead
from rmlab.heads.fitted.storage import write_tensors
from rmlab.heads.fitted.trees import TreesHead, check_trees

D = 3


@pytest.fixture(scope="module")
def text():
    lightgbm = pytest.importorskip("lightgbm")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, D))
    how = {"objective": "binary", "num_leaves": 8, "verbosity": -1, "num_threads": 1}
    model = lightgbm.train(how, lightgbm.Dataset(x, (x.sum(1) > 0) * 1), num_boost_round=3)
    return model.model_to_string()


def sized(text):
    """With tree_sizes as they are now."""
    body = text[text.index("\nTree=0") + 1 : text.index("end of trees")]
    sizes = " ".join(str(len("Tree=" + part)) for part in body.split("Tree=")[1:])
    return re.sub(r"tree_sizes=.*", f"tree_sizes={sizes}", text)


def put(key, value):
    return lambda text: sized(
        re.sub(rf"^{key}=.*$", lambda found: f"{key}={value(found[0])}", text, count=1, flags=re.M)
    )


def first(number):
    return lambda line: " ".join([number, *line.partition("=")[2].split()[1:]])


BAD = {
    "leads back": put("left_child", first("0")),
    "one parent": put("right_child", first("-1")),
    "not there": put("split_feature", first("3")),
    "below": put("split_feature", first("-1")),
    "not whole": put("left_child", first("1.5")),
    "unknown way": put("decision_type", first("3")),
    "are not 7 numbers": put("threshold", lambda line: "1"),
    "are not 8 numbers": put("leaf_value", first("nan")),
    "constant leaves": put("is_linear", lambda line: "1"),
    "its objective": put("objective", lambda line: "lambdarank"),
    "features": put("max_feature_idx", lambda line: "-1"),
    "tree_sizes": lambda text: re.sub(r"tree_sizes=\d+", "tree_sizes=9", text),
    "key=value": lambda text: text.replace("num_cat=0", "num_cat=0\nnum_cat=0", 1),
    "not begin": lambda text: "",
    "header": put("version", lambda line: "v2"),
}


def test_what_lightgbm_writes_is_sound(text):
    check_trees(text)
    assert sized(text) == text


@pytest.mark.parametrize("name", BAD)
def test_trees_that_lightgbm_would_follow_anywhere(name, text):
    with pytest.raises(ValueError):
        check_trees(BAD[name](text))


def test_such_trees_are_never_loaded(text, tmp_path):
    payload = BAD["leads back"](text).encode()
    record = {
        "format": 1,
        "kind": "trees",
        "d": D,
        "gain": 1.0,
        "bias": 0.0,
        "temperature": 1.0,
        "sha256": sha256(payload).hexdigest(),
    }
    (tmp_path / "head.txt").write_bytes(payload)
    (tmp_path / "head.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"head.txt is not a LightGBM model|head.json"):
        TreesHead.load(tmp_path, record)


TENSORS = {
    "shape": {"mean": np.zeros(D + 1)},
    "scalar": {"weight": np.array(1.0)},
    "nan": {"weight": np.full(D, np.nan)},
    "whole numbers": {"weight": np.ones(D, dtype=np.int64)},
    "nothing": {"weight": np.zeros(0), "mean": np.zeros(0), "scale": np.zeros(0)},
}


@pytest.mark.parametrize("name", TENSORS)
def test_tensors_that_do_not_go_together(tmp_path, name):
    good = {"weight": np.ones(D), "intercept": np.zeros(1), "mean": np.zeros(D), "scale": np.ones(D)}
    described = {"kind": "linear", "d": D, "gain": 1.0, "bias": 0.0}
    write_tensors(tmp_path, {**good, **TENSORS[name]}, described)
    with pytest.raises((InputError, ValueError)):
        LinearHead.load(tmp_path, json.loads((tmp_path / "head.json").read_text()))


@pytest.mark.parametrize("gain", [None, "1.0", True, float("inf"), [1.0]])
def test_a_gain_that_is_no_number(tmp_path, gain):
    from rmlab.heads.fitted.load import load_head

    LinearHead(weight=np.ones(D), intercept=0.0, standardiser=Standardiser.identity(D)).save(tmp_path)
    record = json.loads((tmp_path / "head.json").read_text()) | {"gain": gain}
    (tmp_path / "head.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match="cannot load the head"):
        load_head(tmp_path)


@pytest.mark.parametrize("name", ["../elsewhere", "/elsewhere", "..", "", "a\0b", 3, None])
def test_members_lie_in_the_ensemble_s_own_folder(tmp_path, name):
    from rmlab.heads.fitted.load import load_head

    member = LinearHead(weight=np.ones(D), intercept=0.0, standardiser=Standardiser.identity(D))
    member.save(tmp_path / "elsewhere")
    EnsembleHead(members=(member, member)).save(tmp_path / "head")
    record = json.loads((tmp_path / "head" / "head.json").read_text()) | {"members": [name, name]}
    (tmp_path / "head" / "head.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match="cannot load the head"):
        load_head(tmp_path / "head")


def test_deep_json_and_pickles_are_refused(tmp_path):
    from rmlab.heads.fitted.load import load_head

    LinearHead(weight=np.ones(D), intercept=0.0, standardiser=Standardiser.identity(D)).save(tmp_path)
    (tmp_path / "head.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="not JSON"):
        load_head(tmp_path)
