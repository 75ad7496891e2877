"""The cells of a study: every arm at every point of its grid, with every seed, on every set-up."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from rmlab.config.components import component_name
from rmlab.config.grid import Composer, GridPoint, is_swept, points
from rmlab.config.hydra import Override
from rmlab.config.settings import Settings
from rmlab.errors import ConfigError
from rmlab.paths import user_path
from rmlab.pipeline.node import Node
from rmlab.pipeline.stages import STUDY, SWEEP
from rmlab.storage.set_record import RECORD, open_set
from rmlab.study.finding import Finding, Where
from rmlab.sweeps.plan import Chains, plan_sweep

SEED, ARM, CONDITION = "seed", "arm", "condition"
SEEDS = "seed=range(0,5)"
# Axes of an embedding set, and what its record calls their values.
SET_AXES = {"set.policy": "policies", "set.reward": "rewards", "set.embedder": "embedders"}
# Axes that make another set-up, so that a claim is judged over them and not at one of them.
SETUP_AXES = (*SET_AXES, "model", "label_golden", "embedder")


@dataclass(frozen=True)
class Setup:
    """What a claim is judged on: a policy's responses, what rewards them, and what embeds them."""

    policy: str
    reward: str
    embedder: str

    @property
    def name(self) -> str:
        return f"{self.policy} · {self.reward} · {self.embedder}"

    def to_json(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True)
class Member:
    """axes: arm, seed, and the finding's own; cell: fingerprint of its cell in the sweep; data: what it
    reads, as in the names of controls' cells; setup: the name of its set-up."""

    axes: Mapping[str, str]
    cell: str
    data: str
    setup: str = ""

    def is_at(self, where: Where) -> bool:
        return is_at(self.axes, where)

    def to_json(self) -> dict[str, Any]:
        return {"axes": dict(self.axes), "cell": self.cell, "data": self.data, "setup": self.setup}


def is_at(axes: Mapping[str, str], where: Where) -> bool:
    return all(axes.get(axis) in values for axis, values in where.items())


@dataclass(frozen=True)
class Plan:
    """points: of the sweep; axes: those of the finding, of each point; setups: that of each point."""

    finding: Finding
    points: list[GridPoint]
    axes: list[dict[str, str]] = field(default_factory=list)
    setups: list[Setup] = field(default_factory=list)


@dataclass(frozen=True)
class Planner:
    """overrides: of the data, and of all findings; a finding's own come after them and win. What one finding
    has composed of the configuration serves the next. all_setups: every finding is run on all of the set."""

    composer: Composer
    axes: list[str]
    given: frozenset[str] = frozenset()
    all_setups: bool = False

    @classmethod
    def of(
        cls, overrides: Sequence[str], config_dir: Path | None = None, all_setups: bool = False
    ) -> Planner:
        axes = [text for text in overrides if is_swept(text)]
        given = frozenset(Override.parse(text).key for text in overrides)
        if SEED not in given:
            axes.append(SEEDS)
        composer = Composer([text for text in overrides if text not in axes], config_dir)
        return cls(composer, axes, given, all_setups)

    @cached_property
    def _names(self) -> dict[str, list[str]]:
        """Of each axis of the embedding set that the settings name, all values; of other data nothing."""
        try:
            folder = self.composer.settings([]).input
        except ConfigError:  # what is missing is an axis, or is told with the first point
            return {}
        if folder is None or not (user_path(folder) / RECORD).is_file():
            return {}
        opened = open_set(user_path(folder))
        return {axis: opened.names(kind) for axis, kind in SET_AXES.items()}

    def plan(self, finding: Finding) -> Plan:
        """An arm's own settings win over those that are fixed for all of the finding, and both over axes."""
        plan = Plan(finding, [])
        fixed = {Override.parse(text).key for text in finding.fixed}
        axes = [text for text in self.axes if Override.parse(text).key not in fixed]
        if self.all_setups or finding.setups == "all":
            more = {axis: found for axis, found in self._names.items() if axis not in self.given | fixed}
            axes += [f"{axis}={','.join(found)}" for axis, found in more.items()]
        for arm, condition in itertools.product(finding.arms, finding.conditions or [""]):
            own = [*finding.arms[arm].split(), *finding.conditions.get(condition, "").split()]
            names = {ARM: arm, **({CONDITION: condition} if condition else {})}
            mine = {Override.parse(text).key for text in (*own, *finding.grid)}
            kept = [t for t in (*axes, *finding.fixed) if Override.parse(t).key not in mine]
            for point in points([*kept, *own, *finding.grid], composer=self.composer):
                plan.points.append(GridPoint(point.overrides, _shown(own) | dict(point.axes), point.settings))
                within = {axis: value for axis, value in point.axes.items() if axis not in SETUP_AXES}
                plan.axes.append({**names, SEED: str(point.settings.seed), **within})
                plan.setups.append(self._setup(point.settings))
        _check_places(finding, plan.axes)
        return plan

    def _setup(self, settings: Settings) -> Setup:
        """Of an embedding set the names that it gives; of other data model, reward and embedder."""
        if self._names:
            how = settings.set
            chosen = (how.test_policy or how.policy, how.reward, how.embedder)
            return Setup(*(c or names[0] for c, names in zip(chosen, self._names.values(), strict=True)))
        embedder = settings.embedder.get("model") or component_name(
            settings.embedder, settings.allow_modules, "embedder"
        )
        return Setup(settings.model, settings.labelling, str(embedder))


def _shown(overrides: Sequence[str]) -> dict[str, str]:
    """The overrides of an arm as axes of the sweep, so that its rows say what they are."""
    return {Override.parse(text).key: text.partition("=")[2] for text in overrides}


def _check_places(finding: Finding, axes: Sequence[Mapping[str, str]]) -> None:
    """A claim on cells that the grid does not have is a mistake of the file, found before anything runs."""
    for claim in finding.claims:
        for where in (*claim.wheres, finding.at):
            if not any(is_at(a, where) for a in axes):
                shown = " ".join(f"{axis}={','.join(values)}" for axis, values in where.items())
                raise ConfigError(f"finding {finding.name}: no cell of its grid is at {shown}")
        if claim.along and not all(claim.along in a for a in axes if is_at(a, claim.plus[0])):
            raise ConfigError(f"finding {finding.name}: its grid has no axis {claim.along}")


def plan_study(
    findings: Sequence[Finding],
    overrides: Sequence[str],
    workers: int,
    config_dir: Path | None = None,
    fresh: bool = False,
    all_setups: bool = False,
) -> Node:
    """The study's node; its one input is the sweep. Equal cells of several findings are one cell.

    all_setups: every finding is run on all set-ups of an embedding set, not only those that ask for it.
    """
    planner = Planner.of(overrides, config_dir, all_setups)
    plans = [planner.plan(finding) for finding in findings]
    sweep = plan_sweep([point for plan in plans for point in plan.points], workers, fresh)
    chains = Chains()
    described: dict[str, Any] = {}
    for plan in plans:
        cells = [chains.cell(point) for point in plan.points]
        members = [
            Member(axes, cell.fingerprint, cell.data, setup.name)
            for axes, cell, setup in zip(plan.axes, cells, plan.setups, strict=True)
        ]
        described[plan.finding.name] = {
            "finding": plan.finding.model_dump(),
            "members": [member.to_json() for member in members],
        }
    setups = dict.fromkeys(setup for plan in plans for setup in plan.setups)
    config = {"findings": described, "setups": [setup.to_json() for setup in setups]}
    settings = sweep.settings
    return Node(STUDY.name, STUDY.version, settings.name, config, {SWEEP.name: sweep}, {}, settings)
