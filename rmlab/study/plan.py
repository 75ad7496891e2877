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
from rmlab.config.quoting import override
from rmlab.config.settings import Settings
from rmlab.errors import ConfigError
from rmlab.paths import user_path
from rmlab.pipeline.node import Node
from rmlab.pipeline.stages import STUDY, SWEEP
from rmlab.storage.set_record import RECORD, open_set
from rmlab.study.finding import Finding, Where
from rmlab.sweeps.plan import CellChains, plan_sweep

SEED, ARM, CONDITION = "seed", "arm", "condition"
SEEDS = "seed=range(0,5)"
# The axes of an embedding set, and the names under which its record lists their values.
SET_AXES = {"set.policy": "policies", "set.reward": "rewards", "set.embedder": "embedders"}
# Axes whose values are different set-ups; a claim is judged over all of these together.
SETUP_AXES = (*SET_AXES, "model", "label_golden", "embedder")


def plan_study(
    findings: Sequence[Finding],
    overrides: Sequence[str],
    workers: int,
    config_dir: Path | None = None,
    fresh: bool = False,
    all_setups: bool = False,
) -> Node:
    """The study's node; its only input is the sweep. A cell that several findings need is run once.

    all_setups: run every finding on all set-ups of the embedding set, not only findings that ask for it.
    """
    planner = Planner.of(overrides, config_dir, all_setups)
    plans = [planner.plan(finding) for finding in findings]
    sweep = plan_sweep([point for plan in plans for point in plan.points], workers, fresh)
    chains = CellChains()
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


@dataclass(frozen=True)
class Setup:
    """The data that a claim is judged on: the policy, the golden reward and the embedding model, by name."""

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
    """A cell of the sweep as a member of a finding.

    axes: its arm, its seed, and its values on the finding's own axes; cell: its fingerprint in the sweep;
    data: the artifacts that it reads, as the names of the controls' cells have them; setup: name of its
    set-up.
    """

    axes: Mapping[str, str]
    cell: str
    data: str
    setup: str = ""

    def is_at(self, where: Where) -> bool:
        return is_at(self.axes, where)

    def to_json(self) -> dict[str, Any]:
        return {"axes": dict(self.axes), "cell": self.cell, "data": self.data, "setup": self.setup}


def is_at(axes: Mapping[str, str], where: Where) -> bool:
    """True if the cell with these values on the axes belongs to the place `where`."""
    return all(axes.get(axis) in values for axis, values in where.items())


@dataclass(frozen=True)
class Plan:
    """The points of the sweep that a finding needs, with the axes and the set-up of each."""

    finding: Finding
    points: list[GridPoint]
    axes: list[dict[str, str]] = field(default_factory=list)
    setups: list[Setup] = field(default_factory=list)


@dataclass(frozen=True)
class Planner:
    """Plans the cells of findings. Configurations composed for one finding are used again for the next.

    axes: the overrides with several values that the user gave for all findings; given: names of the settings
    that the user gave; all_setups: run every finding on all set-ups of the embedding set. A finding's own
    overrides replace the user's.
    """

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
        """All values of each axis of the embedding set that is the input; empty for other data."""
        try:
            folder = self.composer.settings([]).input
        except ConfigError:  # an axis gives what is missing, or the first point raises the error again
            return {}
        if folder is None or not (user_path(folder) / RECORD).is_file():
            return {}
        opened = open_set(user_path(folder))
        return {axis: opened.names(kind) for axis, kind in SET_AXES.items()}

    def plan(self, finding: Finding) -> Plan:
        """An arm's own overrides replace the finding's fixed ones, and both replace axes of the same name."""
        plan = Plan(finding, [])
        fixed = {Override.parse(text).key for text in finding.fixed}
        axes = [text for text in self.axes if Override.parse(text).key not in fixed]
        if self.all_setups or finding.setups == "all":
            more = {axis: found for axis, found in self._names.items() if axis not in self.given | fixed}
            axes += [override(axis, *found) for axis, found in more.items()]
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
        """The set-up of a point: names in the embedding set, or else model, golden reward and embedder."""
        if self._names:
            how = settings.set
            chosen = (how.test_policy or how.policy, how.reward, how.embedder)
            return Setup(*(c or names[0] for c, names in zip(chosen, self._names.values(), strict=True)))
        embedder = settings.embedder.get("model") or component_name(
            settings.embedder, settings.allow_modules, "embedder"
        )
        return Setup(settings.model, settings.labelling, str(embedder))


def _shown(overrides: Sequence[str]) -> dict[str, str]:
    """The overrides of an arm as axes of the sweep, so that its result rows show them."""
    return {Override.parse(text).key: text.partition("=")[2] for text in overrides}


def _check_places(finding: Finding, axes: Sequence[Mapping[str, str]]) -> None:
    """Raises a ConfigError, before anything runs, if a claim names cells that the finding's grid lacks."""
    for claim in finding.claims:
        for where in (*claim.wheres, finding.at):
            if not any(is_at(a, where) for a in axes):
                shown = " ".join(f"{axis}={','.join(values)}" for axis, values in where.items())
                raise ConfigError(f"finding {finding.name}: no cell of its grid is at {shown}")
        if claim.along and not all(claim.along in a for a in axes if is_at(a, claim.plus[0])):
            raise ConfigError(f"finding {finding.name}: its grid has no axis {claim.along}")
