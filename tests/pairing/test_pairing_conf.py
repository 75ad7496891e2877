"""conf/pairing: each file builds its pairing with the defaults of the code, and explains each knob."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from rmlab.config.components import build
from rmlab.pairing.across_prompts import CrossPrompt, GlobalOrder
from rmlab.pairing.response_sets import ResponseSets
from rmlab.pairing.within_prompt import Lists, SamePrompt, Unpaired

CONF = Path(__file__).parents[2] / "conf" / "pairing"
PAIRINGS = {
    "cross_prompt": CrossPrompt,
    "global_order": GlobalOrder,
    "lists": Lists,
    "response_sets": ResponseSets,
    "same_prompt": SamePrompt,
    "unpaired": Unpaired,
}


@pytest.mark.parametrize("name", PAIRINGS)
def test_conf_is_the_default_of_the_pairing(name):
    component = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"))
    assert build(component) == PAIRINGS[name]()
    assert set(component) == {"_target_"} | {field.name for field in dataclasses.fields(PAIRINGS[name])}
    assert all("  # " in knob for knob in (CONF / f"{name}.yaml").read_text().splitlines()[1:])
