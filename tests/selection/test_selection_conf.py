"""conf/selection: each file builds its selector with the defaults of the code, and explains each knob."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from rmlab.config.components import build
from rmlab.errors import ConfigError
from rmlab.selection.by_score import Entropy, MaxDifference, Uniform
from rmlab.selection.designs import Coreset, DOptimal

CONF = Path(__file__).parents[2] / "conf" / "selection"
SELECTORS = {
    "uniform": Uniform(),
    "entropy": Entropy(),
    "max_difference": MaxDifference(),
    "coreset": Coreset(),
    "d_optimal": DOptimal(),
    "past_aware_d_optimal": DOptimal(past=True),
}


def test_each_file_is_known():
    assert {file.stem for file in CONF.glob("*.yaml")} == set(SELECTORS)


@pytest.mark.parametrize("name", SELECTORS)
def test_conf_is_the_default_of_the_code(name):
    component = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"))
    assert build(component) == SELECTORS[name]
    assert set(component) == {"_target_"} | {field.name for field in dataclasses.fields(SELECTORS[name])}


@pytest.mark.parametrize("name", SELECTORS)
def test_every_knob_has_a_comment(name):
    knobs = (CONF / f"{name}.yaml").read_text().splitlines()[1:]
    assert all("  # " in knob for knob in knobs)


def test_bad_ridge_is_one_line():
    component = {"_target_": "rmlab.selection.designs.DOptimal", "ridge": 0}
    with pytest.raises(ConfigError, match="ridge is 0.0: use a number > 0"):
        build(component, (), "selection")
