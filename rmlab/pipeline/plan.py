"""Makes nodes from settings: the inputs of each stage, and the settings that decide its result.

prompts -> [sft] -> sample -> annotate (one a golden reward) -> fit_rm (one an arm) -> eval_rm -> report
                           -> embed  (one an embedder)       ->
with crossval.folds also fit_rm -> crossval (one an arm) -> heldout -> report
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rmlab.config.components import component_name
from rmlab.config.grid import Composer
from rmlab.config.settings import UNIFORM, Settings
from rmlab.errors import ConfigError
from rmlab.pipeline.chain import Chains, crossval_node, fit_node
from rmlab.pipeline.node import Node
from rmlab.pipeline.problems import reported
from rmlab.pipeline.reference import reference_of
from rmlab.pipeline.stages import FRONTIER, STAGES, Stage

_SHARED_BY_ARMS = ("prompts", "sample", "judge")  # nodes that must be the same for all arms
_JUDGED_BY = ("validation", "crossval")  # settings that must be the same for all arms
_UNIFORM = "selection=uniform"


def load_arms(overrides: Sequence[str], config_dir: Path | None = None) -> dict[str, Settings]:
    """The settings of the experiment under "" and of each arm under its overrides.

    Command-line overrides apply to every arm and replace the arm's own.
    """
    composer = Composer(overrides, config_dir)
    base = composer.settings([])
    arms = {"": base}
    for arm in base.arms:
        with reported():
            arms[arm] = composer.settings_before(arm.split())
    return _with_random_arms(arms)


def _with_random_arms(arms: dict[str, Settings]) -> dict[str, Settings]:
    """Adds, for each arm with active selection, the same arm with random selection to compare it with."""
    found: dict[str, Settings] = {}
    for arm, settings in arms.items():
        if selects(settings) and (arm or len(arms) == 1):
            found[arm] = found.get(arm, settings)
            active = arm if arm else f"selection={selection_name(settings)}"
            found[active] = settings
            random = " ".join(o for o in active.split() if not o.startswith("selection")) + f" {_UNIFORM}"
            found[random.strip()] = without_selection(settings)
        else:
            found[arm] = settings
    return found


def selects(settings: Settings) -> bool:
    """True if comparisons are selected actively, not at random."""
    return selection_name(settings) != "uniform"


def selection_name(settings: Settings) -> str:
    return component_name(settings.selection, settings.allow_modules, "selection")


def without_selection(settings: Settings) -> Settings:
    """Returns these settings with random selection."""
    return settings.model_copy(update={"selection": {"_target_": UNIFORM}})


def plan(arms: dict[str, Settings], asked: Stage | None = None) -> list[Node]:
    """Every node of an experiment, each once, inputs before the nodes that read them.

    asked: a stage that is made on request, whose node is wanted too.
    """
    base, shared = arms[""], Chains()
    first = shared.of(base)
    named = _named(arms)
    chains: dict[str, dict[str, Node]] = {}
    fitted: dict[str, Node] = {}
    for name, s in named.items():
        with reported():
            chains[name] = shared.of(s)
            fitted[name] = fit_node(chains[name], name, s)
    heads = _distinct(fitted)
    made = {"prompts": first["prompts"], "sample": first["sample"], "annotate": first["judge"]}
    for name, head in heads.items():
        chain = chains[name]
        differ = [role for role in _SHARED_BY_ARMS if chain[role].fingerprint != first[role].fingerprint]
        with reported():
            _check_judged_alike(name, head.settings, base, differ)
        made |= {role: n for role, n in chain.items() if role.startswith(("annotate:", "sft"))}
        made |= {f"embed:{name}": chain["embed"], f"fit_rm:{name}": head}
        if base.crossval.folds:
            made[f"crossval:{name}"] = crossval_node(head)
    for stage in STAGES:
        if stage.once and _is_wanted(stage, base, asked):
            made[stage.name] = _once(stage, base, made)
    return in_order(*made.values())


def _check_judged_alike(name: str, arm: Settings, base: Settings, differ: list[str]) -> None:
    """ConfigError if an arm cannot be compared with the others. differ: its nodes that should be theirs."""
    changed = differ + [s for s in _JUDGED_BY if getattr(arm, s) != getattr(base, s)]
    if changed == ["validation"] and arm.validation.fraction == base.validation.fraction:
        raise ConfigError(
            f"arm {name} has a validation split of its own, as its seed is; all arms must be judged on "
            "the same: set validation.seed=0, or sweep over seeds"
        )
    if changed:
        raise ConfigError(f"arm {name} changes {changed[0]}; all arms must be judged on the same")
    if arm.out != base.out:
        raise ConfigError(f"arm {name} changes out; all arms write into one folder")


def _named(arms: dict[str, Settings]) -> dict[str, Settings]:
    """The settings of each arm by the arm's name; arms of equal names are numbered."""
    found: dict[str, Settings] = {}
    for arm, s in arms.items():
        if arm or len(arms) == 1:
            own = _arm_name(s, arm)
            name, n = own, 2
            while name in found:
                name, n = f"{own}-{n}", n + 1
            found[name] = s
    return found


def _arm_name(s: Settings, arm: str) -> str:
    """The arm's name: head-loss, then its other overrides, in characters that are safe in a folder's name."""
    part = {k: component_name(getattr(s, k), s.allow_modules, k) for k in ("head", "loss")}
    pairs = [override.partition("=") for override in arm.split()]
    rest = [f"{k.rpartition('.')[2]}_{v}" for k, _, v in pairs if k not in ("head", "loss")]
    name = ".".join([f"{part['head']}-{part['loss']}", *rest])
    return re.sub(r"_*[^A-Za-z0-9_.+-]+_*", "_", name).strip("_")


def _distinct(heads: Mapping[str, Node]) -> dict[str, Node]:
    """The heads without duplicates: overrides may make arms identical, and these run once."""
    first: dict[str, str] = {}
    for name, head in heads.items():
        first.setdefault(head.fingerprint, name)
    return {name: heads[name] for name in first.values()}


def _is_wanted(stage: Stage, s: Settings, asked: Stage | None) -> bool:
    if stage.on_request and stage is not asked:
        return False
    return not stage.wanted_by or _setting(s, stage.wanted_by) is not None


def _once(stage: Stage, s: Settings, made: Mapping[str, Node]) -> Node:
    """The node of a stage of which an experiment has one, made from its record in the table of stages."""
    config = {name: _setting(s, name) for name in stage.decided_by}
    if stage is FRONTIER:
        config["reference"] = reference_of(made["sample"])
    inputs = {role: made[role] for role in stage.roles(made)}
    return Node(stage.name, stage.version, s.name, config, inputs, {}, s)


def _setting(s: Settings, name: str) -> Any:
    """The value of a setting by its dotted name."""
    value: Any = s.model_dump()
    for part in name.split("."):
        value = value[part]
    return value


def in_order(*last: Node) -> list[Node]:
    """These nodes and all their inputs, each once, in the order of the table of stages."""
    found: dict[str, Node] = {}

    def visit(node: Node) -> None:
        if node.fingerprint not in found:
            for upstream in node.inputs.values():
                visit(upstream)
            found.setdefault(node.fingerprint, node)

    for node in last:
        visit(node)
    places = {stage.name: place for place, stage in enumerate(STAGES)}
    return sorted(found.values(), key=lambda n: places[n.stage])
