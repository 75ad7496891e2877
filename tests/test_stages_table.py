"""The table of stages says what the planner, the schemas and the code do, and no other list repeats it."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest
from small_settings import SMALL

import rmlab
from rmlab.pipeline.plan import load_arms, plan
from rmlab.pipeline.stages import BY_NAME, STAGES
from rmlab.storage.schemas import TABLES

PACKAGE = Path(rmlab.__file__).parent


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_each_stage_is_a_module_with_what_its_record_says(stage):
    module = importlib.import_module(stage.module)
    assert callable(module.run)
    assert hasattr(module, "shards") == stage.over_shards
    assert (hasattr(module, "pass_key") and hasattr(module, "run_pass")) == stage.shares_pass


def test_stages_holds_one_module_a_stage_and_nothing_else():
    found = {file.stem for file in (PACKAGE / "stages").glob("*.py")} - {"__init__"}
    assert found == set(BY_NAME)


def test_nodes_read_what_the_table_says_and_come_in_its_order():
    nodes = plan(load_arms([*SMALL, "crossval.folds=2", "sft=lora", "objectives={sentiment:1,length:1}"]))
    assert {node.stage for node in nodes} == set(BY_NAME) - {"sweep", "study"}
    for node in nodes:
        stage = BY_NAME[node.stage]
        assert stage.roles(node.inputs) == list(node.inputs)
        assert node.version == stage.version
    places = [list(BY_NAME).index(node.stage) for node in nodes]
    assert places == sorted(places)


def test_every_table_is_of_a_stage():
    assert {name for table in TABLES for name in table.stage.split(", ")} <= set(BY_NAME)


def test_no_other_list_of_stages_is_kept():
    """A tuple, list or set with three names of stages or more, anywhere else in the package."""
    found = []
    for file in sorted(PACKAGE.rglob("*.py")):
        if file == PACKAGE / "pipeline" / "stages.py":
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            items = node.elts if isinstance(node, ast.Tuple | ast.List | ast.Set) else ()
            names = {item.value for item in items if isinstance(item, ast.Constant)} & set(BY_NAME)
            if len(names) >= 3:
                found.append(f"{file.relative_to(PACKAGE)}:{node.lineno} {sorted(names)}")
    assert not found
