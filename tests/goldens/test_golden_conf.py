"""conf/golden: each file names its reward, lists every parameter with the code's default, and explains it."""

import dataclasses
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from rmlab.config.components import component_class

FILES = sorted((Path(__file__).parents[2] / "conf" / "golden").glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_conf_is_the_default_of_the_code(file):
    component = OmegaConf.to_container(OmegaConf.load(file))
    fields = {f.name: f for f in dataclasses.fields(component_class(component))}
    called = (
        {"name"} if file.stem == "callable" else set()
    )  # which rmlab.config.implied turns into the reward's key
    assert set(component) == {"_target_", *fields} | called
    for name, field in fields.items():
        expected = "???" if field.default is dataclasses.MISSING else field.default
        assert component[name] in (expected, f"${{{name}}}"), name  # or the setting of the same name
    assert file.read_text().startswith(f"# @package golden.{file.stem}\n")


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_every_knob_has_a_comment(file):
    knobs = [line for line in file.read_text().splitlines()[2:] if not line.startswith("#")]
    assert all("  # " in knob for knob in knobs)
