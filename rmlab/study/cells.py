"""The cells of a finding: every arm at every point of its grid, with every seed."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rmlab.config import Override
from rmlab.errors import ConfigError
from rmlab.grid import Composer, Point, is_swept, points
from rmlab.study.finding import Finding, Where

SEED, ARM, CONDITION = "seed", "arm", "condition"
SEEDS = "seed=range(0,5)"


@dataclass(frozen=True)
class Member:
    """axes: arm, seed, and the finding's own; cell: fingerprint of its cell in the sweep; data: what it
    reads, as in the names of controls' cells."""

    axes: Mapping[str, str]
    cell: str
    data: str

    def is_at(self, where: Where) -> bool:
        return is_at(self.axes, where)

    def to_json(self) -> dict[str, Any]:
        return {"axes": dict(self.axes), "cell": self.cell, "data": self.data}


def is_at(axes: Mapping[str, str], where: Where) -> bool:
    return all(axes.get(axis) in values for axis, values in where.items())


@dataclass(frozen=True)
class Plan:
    """points: of the sweep; axes: those of the finding, of each point."""

    finding: Finding
    points: list[Point]
    axes: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Planner:
    """overrides: of the data, and of all findings; a finding's own come after them and win. What one finding
    has composed of the configuration serves the next."""

    composer: Composer
    axes: list[str]

    @classmethod
    def of(cls, overrides: Sequence[str], config_dir: Path | None = None) -> Planner:
        axes = [text for text in overrides if is_swept(text)]
        if not any(Override.parse(text).key == SEED for text in overrides):
            axes.append(SEEDS)
        return cls(Composer([text for text in overrides if text not in axes], config_dir), axes)

    def plan(self, finding: Finding) -> Plan:
        """An arm's own settings win over those that are fixed for all of the finding, and both over axes."""
        plan = Plan(finding, [])
        fixed = {Override.parse(text).key for text in finding.fixed}
        axes = [text for text in self.axes if Override.parse(text).key not in fixed]
        for arm, condition in itertools.product(finding.arms, finding.conditions or [""]):
            own = [*finding.arms[arm].split(), *finding.conditions.get(condition, "").split()]
            names = {ARM: arm, **({CONDITION: condition} if condition else {})}
            mine = {Override.parse(text).key for text in (*own, *finding.grid)}
            kept = [t for t in (*axes, *finding.fixed) if Override.parse(t).key not in mine]
            for point in points([*kept, *own, *finding.grid], composer=self.composer):
                plan.points.append(Point(point.overrides, _shown(own) | dict(point.axes), point.settings))
                plan.axes.append({**names, SEED: str(point.settings.seed), **point.axes})
        _check_places(finding, plan.axes)
        return plan


def _shown(overrides: Sequence[str]) -> dict[str, str]:
    """The overrides of an arm as axes of the sweep, so that its rows say what they are."""
    return {Override.parse(text).key: text.partition("=")[2] for text in overrides}


def _check_places(finding: Finding, axes: Sequence[Mapping[str, str]]) -> None:
    """A claim on cells that the grid does not have is a mistake of the file, found before anything runs."""
    for claim in finding.claims:
        for where in (*claim.plus, *claim.minus, *claim.slope, finding.at):
            if not any(is_at(a, where) for a in axes):
                shown = " ".join(f"{axis}={','.join(values)}" for axis, values in where.items())
                raise ConfigError(f"finding {finding.name}: no cell of its grid is at {shown}")
