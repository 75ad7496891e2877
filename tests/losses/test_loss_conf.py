"""The YAML of each loss names every parameter, with the default of the class."""

from __future__ import annotations

from dataclasses import fields

import pytest
import yaml

from rmlab.config.components import build, component_class
from rmlab.paths import shipped

FILES = sorted(shipped("conf").joinpath("loss").glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_settings_are_the_defaults_of_the_class(file):
    component = yaml.safe_load(file.read_text())
    loss_class = component_class(component)
    target = component.pop("_target_")
    assert loss_class.name == file.stem
    assert list(component) == [field.name for field in fields(loss_class)]
    assert build({"_target_": target, **component}) == loss_class()
    assert all("#" in line for line in file.read_text().splitlines())
