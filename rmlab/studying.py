"""From findings to one sweep of all their cells, and a study that reads it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rmlab.pipeline import VERSIONS
from rmlab.plan import Node
from rmlab.study.cells import Member, Planner
from rmlab.study.finding import Finding
from rmlab.sweeping import Chains, plan_sweep


def plan_study(
    findings: Sequence[Finding],
    overrides: Sequence[str],
    workers: int,
    config_dir: Path | None = None,
    fresh: bool = False,
) -> Node:
    """The study's node; its one input is the sweep. Equal cells of several findings are one cell."""
    planner = Planner.of(overrides, config_dir)
    plans = [planner.plan(finding) for finding in findings]
    sweep = plan_sweep([point for plan in plans for point in plan.points], workers, fresh)
    chains = Chains()
    described: dict[str, Any] = {}
    for plan in plans:
        cells = [chains.cell(point) for point in plan.points]
        members = [Member(a, c.fingerprint, c.data) for a, c in zip(plan.axes, cells, strict=True)]
        described[plan.finding.name] = {
            "finding": plan.finding.model_dump(),
            "members": [member.to_json() for member in members],
        }
    settings = sweep.settings
    config = {"findings": described, "reward": settings.labelling}
    return Node("study", VERSIONS["study"], settings.name, config, {"sweep": sweep}, {}, settings)
