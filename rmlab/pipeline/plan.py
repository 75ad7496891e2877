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

from rmlab.config.components import build, component_class, component_name
from rmlab.config.hydra import load_settings
from rmlab.config.settings import UNIFORM, Settings
from rmlab.errors import ConfigError
from rmlab.goldens.base import Combination
from rmlab.paths import folder_name
from rmlab.pipeline.node import Node, Source, described, file_source, model_source
from rmlab.pipeline.stages import ANNOTATE, CROSSVAL, EMBED, FIT_RM, PROMPTS, SAMPLE, SFT, STAGES, Stage

_FITTED = ("pairing", "noise", "selection", "head", "loss")
_SHARED_BY_ARMS = ("prompts", "sample", "judge")  # nodes that must be the same for all arms
_JUDGED_BY = ("validation", "crossval")  # settings that must be the same for all arms
_UNIFORM = "selection=uniform"


def load_arms(overrides: Sequence[str], config_dir: Path | None = None) -> dict[str, Settings]:
    """The settings of the experiment under "" and of each arm under its overrides.

    Command-line overrides apply to every arm and replace the arm's own.
    """
    base = load_settings(overrides, config_dir)
    arms = {"": base}
    for arm in base.arms:
        arms[arm] = load_settings([*arm.split(), *overrides], config_dir)
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


def plan(arms: dict[str, Settings]) -> list[Node]:
    """Every node of an experiment, each once, inputs before the nodes that read them."""
    base = arms[""]
    chains = _distinct(_named(arms))
    first = chain_of(base)
    for name, chain in chains.items():
        changed = [r for r in _SHARED_BY_ARMS if chain[r].fingerprint != first[r].fingerprint]
        arm = chain["sample"].settings
        changed += [s for s in _JUDGED_BY if getattr(arm, s) != getattr(base, s)]
        if changed == ["validation"] and arm.validation.fraction == base.validation.fraction:
            raise ConfigError(
                f"arm {name} has a validation split of its own, as its seed is; all arms must be judged on "
                "the same: set validation.seed=0, or sweep over seeds"
            )
        if changed:
            raise ConfigError(f"arm {name} changes {changed[0]}; all arms must be judged on the same")
        if arm.out != base.out:
            raise ConfigError(f"arm {name} changes out; all arms write into one folder")
    made = {"prompts": first["prompts"], "sample": first["sample"], "annotate": first["judge"]}
    for name, chain in chains.items():
        made |= {role: n for role, n in chain.items() if role.startswith(("annotate:", "sft"))}
        made |= {f"embed:{name}": chain["embed"], f"fit_rm:{name}": fit_node(chain, name)}
        if base.crossval.folds:
            made[f"crossval:{name}"] = _crossval(made[f"fit_rm:{name}"])
    for stage in STAGES:
        if stage.once and _is_wanted(stage, base):
            made[stage.name] = _once(stage, base, made)
    return in_order(*made.values())


def _named(arms: dict[str, Settings]) -> dict[str, dict[str, Node]]:
    """The chain of each arm by the arm's name; arms of equal names are numbered."""
    chains: dict[str, dict[str, Node]] = {}
    for arm, s in arms.items():
        if arm or len(arms) == 1:
            name, n = _arm_name(s, arm), 2
            while name in chains:
                name, n = f"{_arm_name(s, arm)}-{n}", n + 1
            chains[name] = chain_of(s)
    return chains


def _arm_name(s: Settings, arm: str) -> str:
    """The arm's name: head-loss, then its other overrides, in characters that are safe in a folder's name."""
    part = {k: component_name(getattr(s, k), s.allow_modules, k) for k in ("head", "loss")}
    pairs = [override.partition("=") for override in arm.split()]
    rest = [f"{k.rpartition('.')[2]}_{v}" for k, _, v in pairs if k not in ("head", "loss")]
    name = ".".join([f"{part['head']}-{part['loss']}", *rest])
    return re.sub(r"_*[^A-Za-z0-9_.+-]+_*", "_", name).strip("_")


def _distinct(chains: dict[str, dict[str, Node]]) -> dict[str, dict[str, Node]]:
    """The chains without duplicates: overrides may make arms identical, and these run once."""
    by_fingerprint: dict[str, str] = {}
    for name, chain in chains.items():
        by_fingerprint.setdefault(fit_node(chain, name).fingerprint, name)
    return {name: chains[name] for name in by_fingerprint.values()}


def _is_wanted(stage: Stage, s: Settings) -> bool:
    return not stage.wanted_by or _setting(s, stage.wanted_by) is not None


def _once(stage: Stage, s: Settings, made: Mapping[str, Node]) -> Node:
    """The node of a stage of which an experiment has one, made from its record in the table of stages."""
    config = {name: _setting(s, name) for name in stage.decided_by}
    return _node(s, stage, s.name, config, {role: made[role] for role in stage.roles(made)})


def _setting(s: Settings, name: str) -> Any:
    """The value of a setting by its dotted name."""
    value: Any = s.model_dump()
    for part in name.split("."):
        value = value[part]
    return value


def chain_of(s: Settings) -> dict[str, Node]:
    """All nodes that the heads read, by role."""
    return data_nodes(s, embed=True)


def data_nodes(s: Settings, embed: bool = False) -> dict[str, Node]:
    """The nodes of prompts, responses and scores by role; those of embeddings, which need a model, if
    asked."""
    chain = _sampled(s)
    inputs = {"prompts": chain["prompts"], "sample": chain["sample"]}
    chain |= _annotations(s, inputs)
    return chain | ({"embed": _embed(s, inputs)} if embed else {})


def _sampled(s: Settings) -> dict[str, Node]:
    prompts = _node(
        s,
        PROMPTS,
        folder_name(Path(s.prompts.path).stem),
        s.prompts.model_dump(exclude={"path", "template"}),
        {},
        {"file": file_source(s.prompts.path)},
    )
    sampler, sources = described(s.sampler, "sampler", s)
    chain = {"prompts": prompts}
    if component_class(s.sampler, s.allow_modules, "sampler").needs_model:  # type: ignore[attr-defined]
        model = {"model": model_source(s.model, s.revision, s)}
        if s.sft.method != "none":
            chain["sft"] = _sft(s, model)
        else:
            sources |= model
    sample_config = {
        "sampler": sampler,
        "sampling": s.sampling.model_dump(),
        "template": s.prompts.template,
        "dtype": s.dtype,
        "generation_seed": s.generation_seed,
    }
    return chain | {
        "sample": _node(s, SAMPLE, folder_name(Path(s.model).name), sample_config, dict(chain), sources)
    }


def _sft(s: Settings, model: dict) -> Node:
    if s.dtype == "float16" and s.sft.precision == "auto":
        raise ConfigError("sft does not train in float16; set sft.precision to bfloat16 or float32")
    config = s.sft.model_dump(exclude={"checkpoint_steps", "devices"}) | {
        "n": s.demonstrations.n,
        "template": s.prompts.template,
        "dtype": s.dtype,
        "generation_seed": s.generation_seed,
    }
    sources = {"demonstrations": file_source(s.demonstrations.path), **model}
    return _node(s, SFT, s.sft.method, config, {}, sources)


def _annotations(s: Settings, inputs: dict[str, Node]) -> dict[str, Node]:
    made: dict[str, Node] = {}
    for name in s.golden:
        _annotate(s, name, inputs, made)
    chain = {f"annotate:{name}": made[name] for name in s.golden}
    return chain | {"judge": chain[f"annotate:{s.labelling}"]}


def _annotate(
    s: Settings, name: str, inputs: dict[str, Node], made: dict[str, Node], within: tuple[str, ...] = ()
) -> Node:
    """Adds the node of a golden reward to `made`, after those of the rewards that it combines.

    within: the rewards that are being made of this one, to detect a circle.
    """
    where, path = f"golden.{name}", (*within, name)
    if name in within:
        raise ConfigError(f"golden rewards are combinations of each other in a circle: {' of '.join(path)}")
    if name not in s.golden:
        known = ", ".join(s.golden)
        raise ConfigError(
            f"golden.{within[-1]} is made of {name}, which is not one of the golden rewards: {known}; "
            f"list it too: 'golden=[{','.join([name, *s.golden])}]'"
        )
    if name not in made:
        config, sources = described(s.golden[name], where, s)
        golden = build(s.golden[name], s.allow_modules, where)
        parts = golden.parts if isinstance(golden, Combination) else ()
        read = {f"part:{part}": _annotate(s, part, inputs, made, path) for part in parts}
        dtype = {"dtype": s.dtype} if any(x.kind == "model" for x in sources.values()) else {}
        config = {"golden": config, **dtype}
        made[name] = _node(s, ANNOTATE, name, config, inputs | read, _plain_roles(sources))
    return made[name]


def _embed(s: Settings, inputs: dict[str, Node]) -> Node:
    config, sources = described(s.embedder, "embedder", s)
    name = component_name(s.embedder, s.allow_modules, "embedder")
    if "model" in config and "embedder.model" not in sources:
        config.pop("model")
        sources["embedder.model"] = model_source(s.model, s.revision, s)
    embed_config = {"embedder": config, "template": s.prompts.template, "dtype": s.dtype}
    return _node(s, EMBED, name, embed_config, inputs, _plain_roles(sources))


def _plain_roles(sources: dict) -> dict:
    """Roles without the user's own names for components, so that renaming one changes nothing."""
    return {role.rpartition(".")[2]: source for role, source in sources.items()}


def fit_node(chain: dict[str, Node], name: str, settings: Settings | None = None) -> Node:
    """The node of a head. settings: the head's, if they are not those that the chain was made from."""
    s = settings or chain["sample"].settings
    found = {k: described(getattr(s, k), k, s) for k in _FITTED}
    parts = {k: config for k, (config, _) in found.items()}
    sources = {role: source for _, extra in found.values() for role, source in extra.items()}
    config = parts | {
        "comparisons": s.comparisons.model_dump(),
        "ensemble": s.ensemble.model_dump(),
        "centring": s.centring,
        "validation": s.validation.model_dump(),
        "seed": s.seed,
    }
    if s.teacher.n is not None:
        taught = {k: described(getattr(s.teacher, k), f"teacher.{k}", s) for k in ("head", "loss")}
        config["teacher"] = s.teacher.model_dump() | {k: weak for k, (weak, _) in taught.items()}
        sources |= {role: source for _, extra in taught.values() for role, source in extra.items()}
    inputs = {"sample": chain["sample"], "annotate": chain["judge"], "embed": chain["embed"]}
    if s.objectives:
        config["objectives"] = dict(s.objectives)
        inputs |= objective_nodes(s, chain)
    return _node(s, FIT_RM, name, config, inputs, sources)


def objective_nodes(s: Settings, chain: dict[str, Node]) -> dict[str, Node]:
    """The nodes of the golden rewards that are objectives, by role."""
    return {f"objective:{name}": chain[f"annotate:{name}"] for name in s.objectives or {}}


def _crossval(fitted: Node) -> Node:
    """The node that fits the same head again without each fold."""
    s = fitted.settings
    config = {**fitted.config, "crossval": s.crossval.model_dump()}
    return _node(s, CROSSVAL, fitted.name, config, fitted.inputs, fitted.sources)


def _node(
    s: Settings,
    stage: Stage,
    name: str,
    config: Mapping[str, Any],
    inputs: Mapping[str, Node],
    sources: Mapping[str, Source] | None = None,
) -> Node:
    return Node(stage.name, stage.version, name, config, inputs, sources or {}, s)


def in_order(*last: Node) -> list[Node]:
    """These nodes and all their inputs, each once, in the order of the table of stages."""
    found: dict[str, Node] = {}

    def visit(node: Node) -> None:
        for upstream in node.inputs.values():
            visit(upstream)
        found.setdefault(node.fingerprint, node)

    for node in last:
        visit(node)
    places = {stage.name: place for place, stage in enumerate(STAGES)}
    return sorted(found.values(), key=lambda n: places[n.stage])
