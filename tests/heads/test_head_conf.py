"""conf/head: each file builds its head with the defaults of the code, and explains each knob."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from rmlab.config.components import build
from rmlab.errors import ConfigError
from rmlab.heads.linear import Linear
from rmlab.heads.mlp import Mlp
from rmlab.heads.trees import Trees

CONF = Path(__file__).parents[2] / "conf" / "head"
HEADS = {"linear": Linear, "mlp": Mlp, "trees": Trees}


@pytest.mark.parametrize("name", HEADS)
def test_conf_is_the_default_of_the_code(name):
    component = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"))
    assert build(component) == HEADS[name]()
    assert set(component) == {"_target_"} | {field.name for field in dataclasses.fields(HEADS[name])}


@pytest.mark.parametrize("name", HEADS)
def test_every_knob_has_a_comment(name):
    knobs = (CONF / f"{name}.yaml").read_text().splitlines()[1:]
    assert all("  # " in knob for knob in knobs)


def test_one_l2_or_several():
    target = "rmlab.heads.linear.Linear"
    assert build({"_target_": target, "l2": 0.5}).strengths == [0.5]
    assert build({"_target_": target, "l2": [1, 10]}).strengths == [10.0, 1.0]
    with pytest.raises(ConfigError):
        build({"_target_": target, "l2": -1})
