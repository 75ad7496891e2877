"""The table of stages says what the planner, the schemas and the code do, and no other list repeats it."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest
from small_settings import SMALL

import rmlab
from rmlab.config.grid import Composer
from rmlab.config.hydra import Override
from rmlab.config.settings import Settings
from rmlab.pipeline import node as node_module
from rmlab.pipeline.node import Node, Source
from rmlab.pipeline.plan import load_arms, plan
from rmlab.pipeline.stages import BY_NAME, STAGES
from rmlab.storage.digest import digest
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
    arms = load_arms([*SMALL, "crossval.folds=2", "sft=lora", "objectives={sentiment:1,length:1}"])
    assert "frontier" not in {node.stage for node in plan(arms)}
    nodes = plan(arms, asked=BY_NAME["frontier"])
    assert {node.stage for node in nodes} == set(BY_NAME) - {"sweep", "sweep_report", "study"}
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


# One change of each setting; several in one, where a setting cannot change alone.
CHANGES = {
    "model": "model=random-tiny", "dtype": "dtype=bfloat16", "generation_seed": "generation_seed=7",
    "prompts.n_train": "prompts.n_train=9", "prompts.template": "prompts.template=chat",
    "demonstrations.n": "demonstrations.n=3", "sft.rank": "sft.rank=4", "sampling.top_p": "sampling.top_p=0.5",
    "sampler": "sampler=dummy", "golden": "golden.judge.score=log_odds", "embedder.layer": "embedder.layer=1",
    "comparisons.n": "comparisons.n=50", "pairing": "pairing=cross_prompt", "noise.beta": "noise.beta=3",
    "selection": "selection=entropy comparisons.rounds=2", "head": "head=trees", "loss": "loss=hinge",
    "ensemble.members": "ensemble.members=2", "centring": "centring=0.1", "teacher.n": "teacher.n=20",
    "label_golden": "label_golden=length", "objectives": "objectives={sentiment:1,length:1}",
    "validation.fraction": "validation.fraction=0.3", "crossval.folds": "crossval.folds=3",
    "crossval.seed": "crossval.seed=1", "evaluation.resamples": "evaluation.resamples=60",
    "evaluation.select_by": "evaluation.select_by=accuracy", "frontier.betas": "frontier.betas=[1]", "seed": "seed=5", "name": "name=other",
    "revision": "revision=main",
}  # fmt: skip
# Settings that decide no result: permissions, and what changes the speed or the place. Those of another kind
# only fill in other settings, or list the arms.
UNDECISIVE = {
    "allow_modules", "allow_env", "trust_remote_code", "out", "device", "workers", "prompts_per_shard",
    "input", "form", "unusable", "columns", "set", "release", "arms", "track",
}  # fmt: skip


def _own(node: Node) -> str:
    """All that the fingerprint of a node is made of, but for the fingerprints of its inputs; of the golden
    rewards among these, which one is read."""
    golden = node.inputs["annotate"].name if node.stage in ("fit_rm", "crossval") else ""
    return digest([node.config, {role: s.identity for role, s in node.sources.items()}, golden])


def _deciding(composer: Composer, *overrides: str) -> dict[str, set[str]]:
    nodes = plan({"": composer.settings([Override.parse(text) for text in overrides])}, BY_NAME["frontier"])
    return {stage: {_own(node) for node in nodes if node.stage == stage} for stage in BY_NAME}


_BASE = (
    "dtype=float32",
    "golden=[sentiment,length,judge]",
    "golden.judge.model=random-tiny",
    "crossval.folds=2",
)


def test_decided_by_names_the_settings_that_the_fingerprint_of_a_stage_is_made_of(monkeypatch):
    """Each setting is changed by itself; the stages whose own part of the fingerprint changes name it."""
    monkeypatch.setattr(
        "rmlab.pipeline.node.model_source",
        lambda name, revision, settings: Source("model", name, f"{name} {revision}"),
    )
    monkeypatch.setattr("rmlab.pipeline.chain.model_source", node_module.model_source)
    assert set(Settings.model_fields) == {name.partition(".")[0] for name in CHANGES} | UNDECISIVE
    tuned, plain = Composer([*_BASE, "sft=lora", "sft.rank=8"], None), Composer([*_BASE, "sft=none"], None)
    before = [_deciding(composer) for composer in (tuned, plain)]
    wrong = []
    for name, overrides in CHANGES.items():
        after = [_deciding(composer, *overrides.split()) for composer in (tuned, plain)]
        changed = {s for s in BY_NAME for a, b in zip(after, before, strict=True) if a[s] != b[s]}
        named = {s.name for s in STAGES if any(name == by or _is_in(name, by) for by in s.decided_by)}
        if name == "prompts.template":  # of the whole group, the one setting that the prompts are not made by
            named.remove("prompts")
        if changed != named:
            wrong.append(f"{name}: changes {sorted(changed)}, named by {sorted(named)}")
    assert wrong == []


def _is_in(name: str, section: str) -> bool:
    return name.startswith(f"{section}.")
