"""rmlab run, and the command of each stage."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rmlab.artifacts.artifact import Artifact
from rmlab.artifacts.files import plain
from rmlab.errors import InputError
from rmlab.execute import Outcome, run_nodes
from rmlab.pipeline import load_arms, plan
from rmlab.plan import Node


def run_command(
    stages: Sequence[str],
    overrides: Sequence[str],
    dry_run: bool,
    as_json: bool,
    force: bool,
    config_dir: Path | None,
) -> None:
    """stages: the ones to run, with their inputs done already; none means all of the experiment."""
    arms = load_arms(overrides, config_dir)
    planned = plan(arms)
    nodes = [n for n in planned if not stages or n.stage in stages]
    if stages == ["sample"]:  # the prompts have no command of their own
        nodes = [n for n in planned if n.stage == "prompts" and not n.is_done] + nodes
    if not nodes:
        why = "sft.method=none" if stages == ["sft"] else "no crossval.folds; try crossval.folds=5"
        raise InputError(f"nothing to do: these settings have no {stages[0]} stage ({why})")
    if dry_run:
        outcomes = [Outcome.expected(n, force) for n in nodes]
    else:
        outcomes = run_nodes(nodes, command_line(), force=force, alone=bool(stages))
    if as_json:
        settings = arms[""].model_dump()
        print(json.dumps(document(outcomes, settings), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        _print_outcomes(outcomes, dry_run)


def command_line() -> str:
    return shlex.join(["rmlab", *sys.argv[1:]])


def document(outcomes: list[Outcome], settings: dict[str, Any]) -> dict[str, Any]:
    """Everything that was run, as one JSON document."""
    by_stage = {o.node.stage: o for o in outcomes}
    summary = by_stage["eval_rm"].artifact if "eval_rm" in by_stage else None
    report = by_stage.get("report")
    heldout = by_stage["heldout"].artifact if "heldout" in by_stage else None
    return plain(
        {
            "experiment": settings["name"],
            "stages": [o.to_json() for o in outcomes],
            "evaluation": summary.manifest.metrics if summary else None,
            "heldout_accuracy": heldout.manifest.metrics["heldout_accuracy"] if heldout else None,
            "recommended": heldout.manifest.metrics["recommended"] if heldout else None,
            "report": str(_report_file(report.node)) if report else None,
            "settings": settings,
        }
    )


def _print_outcomes(outcomes: list[Outcome], dry_run: bool) -> None:
    from rmlab.commands.tables import print_evaluation, print_heldout, print_stages

    judged = any(o.node.stage in ("eval_rm", "heldout") for o in outcomes)
    if dry_run or len({o.node.stage for o in outcomes}) == 1 or not judged:
        print_stages(outcomes)
    for outcome in outcomes:
        if outcome.node.stage == "eval_rm" and outcome.artifact and not _of_two(outcomes, outcome.artifact):
            print_evaluation(outcome.artifact)
        if outcome.node.stage == "heldout" and outcome.artifact:
            print_heldout(outcome.artifact)
        if outcome.node.stage == "report" and not dry_run:
            print(f"report: {_report_file(outcome.node)}")


def _of_two(outcomes: list[Outcome], evaluation: Artifact) -> bool:
    """With two answers a prompt the best of them says no more than held-out accuracy does."""
    chosen = evaluation.manifest.metrics["best_of_n"][evaluation.manifest.metrics["chosen"]]
    return chosen["n"] <= 2 and any(o.node.stage == "heldout" for o in outcomes)


def _report_file(node: Node) -> Path:
    return node.folder / "report.html"
