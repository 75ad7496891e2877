"""conf/noise: each file builds its labels, names every parameter, and explains each knob."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from rmlab.config.components import build
from rmlab.noise.crowd import Crowd
from rmlab.noise.flips import LargestMarginFlips, RandomFlips
from rmlab.noise.logistic import Logistic

CONF = Path(__file__).parents[2] / "conf" / "noise"
LABELS = {
    "crowd": Crowd([0.1, 0.2, 0.3]),
    "largest_margin_flips": LargestMarginFlips(0.1),
    "logistic": Logistic(),
    "none": Logistic(beta=None),
    "random_flips": RandomFlips(0.1),
}


@pytest.mark.parametrize("name", LABELS)
def test_conf_is_the_default_of_the_labels(name):
    component = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"))
    assert build(component) == LABELS[name]
    assert set(component) == {"_target_"} | {field.name for field in dataclasses.fields(LABELS[name])}
    assert all("  # " in knob for knob in (CONF / f"{name}.yaml").read_text().splitlines()[1:])
