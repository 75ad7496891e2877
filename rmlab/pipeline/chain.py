"""The chain of nodes that a head is fitted on, and the node of the head: their inputs, and the settings that
decide their results.

prompts -> [sft] -> sample -> annotate (one a golden reward) -> fit_rm
                           -> embed                          ->
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rmlab.config.components import build, component_class, component_name
from rmlab.config.settings import Settings
from rmlab.errors import ConfigError
from rmlab.goldens.base import Combination
from rmlab.models.precision import resolve
from rmlab.models.weights import Model
from rmlab.paths import folder_name
from rmlab.pipeline.node import Node, Source, described, file_source, model_source
from rmlab.pipeline.stages import ANNOTATE, CROSSVAL, EMBED, FIT_RM, PROMPTS, SAMPLE, SFT, Stage
from rmlab.storage.digest import digest

_FITTED = ("pairing", "noise", "selection", "head", "loss")
# Settings that change a head and nothing before it.
OF_HEADS = {
    "comparisons", "pairing", "noise", "selection", "head", "ensemble", "loss", "centring", "validation",
    "crossval", "evaluation", "frontier", "seed", "arms", "name", "teacher",
}  # fmt: skip


@dataclass(frozen=True)
class Chains:
    """Makes each chain once for all settings that share it."""

    _made: dict[str, dict[str, Node]] = field(default_factory=dict)

    def of(self, settings: Settings) -> dict[str, Node]:
        """All nodes that the heads read, by role. Settings that differ in heads alone get the same ones."""
        key = digest(settings.model_dump(exclude=OF_HEADS))
        if key not in self._made:
            self._made[key] = chain_of(settings)
        return self._made[key]


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
        s.prompts.model_dump(exclude={"path", "template", "demonstrations"}),
        {},
        {"file": file_source(s.prompts.path)},
    )
    sampler, sources = described(s.sampler, "sampler", s)
    chain = {"prompts": prompts}
    if component_class(s.sampler, s.allow_modules, "sampler").needs_model:  # type: ignore[attr-defined]
        model = {"model": model_source(s.model, s.revision, s)}
        s = with_dtype(s, model)
        if s.sft.method != "none":
            chain["sft"] = _sft(s, model)
        else:
            sources |= model
    else:
        s = with_dtype(s, sources)
    sample_config = {
        "sampler": sampler,
        "sampling": s.sampling.model_dump(),
        "template": s.prompts.template,
        "dtype": s.dtype,
        "generation_seed": s.generation_seed,
    }
    name = folder_name(_responses_name(s, sources))
    return chain | {"sample": _node(s, SAMPLE, name, sample_config, dict(chain), sources)}


def _responses_name(s: Settings, sources: Mapping[str, Source]) -> str:
    """The model's name, or for responses that no model made the name of their file, which in an embedding set
    is responses-POLICY."""
    cls = component_class(s.sampler, s.allow_modules, "sampler")
    if cls.needs_model:  # type: ignore[attr-defined]
        return Path(s.model).name
    files = [Path(source.name).stem for role, source in sources.items() if role.startswith("sampler.")]
    return (
        files[0].removeprefix("responses-")
        if files
        else component_name(s.sampler, s.allow_modules, "sampler")
    )


def _sft(s: Settings, model: dict) -> Node:
    if s.dtype == "float16" and s.sft.precision == "auto":
        raise ConfigError("sft does not train in float16; set sft.precision to bfloat16 or float32")
    config = s.sft.model_dump(exclude={"checkpoint_steps", "devices"}) | {
        "n": s.demonstrations.n,
        "template": s.prompts.template,
        "dtype": s.dtype,
        "generation_seed": s.generation_seed,
    }
    sources = {"demonstrations": file_source(str(s.demonstrations.path)), **model}
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
        s = with_dtype(s, sources)
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
    s = with_dtype(s, sources)
    embed_config = {"embedder": config, "template": s.prompts.template, "dtype": s.dtype}
    return _node(s, EMBED, name, embed_config, inputs, _plain_roles(sources))


def with_dtype(s: Settings, sources: Mapping[str, Source]) -> Settings:
    """These settings with the precision that dtype=auto stands for, by the model among the sources.

    A stage that reads no model computes in float32, whatever the machine.
    """
    if s.dtype != "auto":
        return s
    models = [x for x in sources.values() if x.kind == "model" and not x.is_missing]
    found = {resolve(s.device, Model(x.name, x.identity, None, s.trust_remote_code)) for x in models}
    return s.model_copy(update={"dtype": "bfloat16" if found == {"bfloat16"} else "float32"})


def _plain_roles(sources: dict) -> dict:
    """Roles without the user's own names for components, so that renaming one changes nothing."""
    return {role.rpartition(".")[2]: source for role, source in sources.items()}


def fit_node(chain: Mapping[str, Node], name: str, s: Settings) -> Node:
    """The node of a head with these settings on a chain that they share."""
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


def objective_nodes(s: Settings, chain: Mapping[str, Node]) -> dict[str, Node]:
    """The nodes of the golden rewards that are objectives, by role."""
    return {f"objective:{name}": chain[f"annotate:{name}"] for name in s.objectives or {}}


def crossval_node(fitted: Node) -> Node:
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
