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
    return Node("study", VERSIONS["study"], settings.name, config, {"sweep": sweep}, {}, settings)
