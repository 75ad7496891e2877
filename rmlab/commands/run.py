"""rmlab run, and the commands of single stages."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmlab.config.settings import Settings
from rmlab.errors import InputError
from rmlab.logs.records import shell_line
from rmlab.pipeline.costs import costs_of, wording
from rmlab.pipeline.foresee import foresee
from rmlab.pipeline.node import Node
from rmlab.pipeline.plan import load_arms, plan
from rmlab.pipeline.problems import Problems, gathering
from rmlab.pipeline.run import Outcome, run_nodes
from rmlab.pipeline.stages import BY_NAME, EVAL_RM, HELDOUT, REPORT, Stage
from rmlab.pipeline.track import tracked, tracker_of
from rmlab.storage.artifact import Artifact
from rmlab.storage.files import plain
from rmlab.terminal import say, say_json


def run_command(
    stage: Stage | None,
    overrides: Sequence[str],
    dry_run: bool,
    as_json: bool,
    force: bool,
    config_dir: Path | None,
) -> None:
    """Runs one stage, whose inputs must be done, or the whole experiment if stage is None."""
    prepared = planned(stage, overrides, config_dir, force)
    outcomes = outcomes_of(prepared, stage, dry_run, force, command_line())
    if as_json:
        told = {"problems": prepared.problems.to_json(), "costs": prepared.costs} if dry_run else {}
        say_json(document(outcomes, prepared.settings.model_dump()) | told)
    else:
        _print_outcomes(outcomes, dry_run)
        if dry_run and any(o.state == "planned" for o in outcomes):
            say(wording(prepared.costs))
    prepared.problems.raise_all()


@dataclass(frozen=True)
class PlannedRun:
    """Holds what a command would run.

    settings: of the experiment; problems: all that would stop it; costs: about how long it takes and how much
    it writes.
    """

    nodes: list[Node]
    settings: Settings
    problems: Problems
    costs: dict[str, Any]


def planned(
    stage: Stage | None, overrides: Sequence[str], config_dir: Path | None, force: bool = False
) -> PlannedRun:
    """Plans one stage, or the whole experiment if stage is None, and looks for all that would stop it."""
    with gathering() as problems:
        arms = load_arms(overrides, config_dir)
        with problems.caught():
            tracker_of(arms[""])
        every = plan(arms)
        nodes = every if stage is None else [n for n in every if _is_asked(n, stage)]
        if stage and not nodes:
            problems.raise_all()  # an arm that cannot be planned has no nodes
            raise InputError(f"nothing to do: these settings have no {stage.name} stage ({stage.absent})")
        costs = costs_of(foresee(nodes, problems, force=force, alone=stage is not None), problems)
    return PlannedRun(nodes, arms[""], problems, costs)


def outcomes_of(
    prepared: PlannedRun, stage: Stage | None, dry_run: bool, force: bool, command: str, quiet: bool = False
) -> list[Outcome]:
    """Runs what is planned of one stage, or of a whole experiment if stage is None, or foretells it.

    command: the command line that does the same, for the record.
    """
    if dry_run:
        return [Outcome.expected(n, force) for n in prepared.nodes]
    prepared.problems.raise_all()
    with tracked(prepared.settings) as tell:
        outcomes = run_nodes(prepared.nodes, command, force, quiet, alone=stage is not None)
        tell(outcomes)
    return outcomes


def _is_asked(node: Node, stage: Stage) -> bool:
    """True for nodes of the stage, and of stages that its command also runs, such as prompts for sample."""
    made_by = BY_NAME[node.stage]
    return made_by is stage or (made_by.typed == stage.typed and not node.is_done)


def command_line() -> str:
    """The command that goes on with what this one began; --force would begin it anew."""
    return shell_line(["rmlab", *(word for word in sys.argv[1:] if word != "--force")])


def document(outcomes: list[Outcome], settings: dict[str, Any]) -> dict[str, Any]:
    """The outcomes as one JSON document."""
    by_stage = {o.node.stage: o for o in outcomes}
    summary = by_stage[EVAL_RM.name].artifact if EVAL_RM.name in by_stage else None
    report = by_stage.get(REPORT.name)
    heldout = by_stage[HELDOUT.name].artifact if HELDOUT.name in by_stage else None
    return plain(
        {
            "experiment": settings["name"],
            "stages": [o.to_json() for o in outcomes],
            "evaluation": summary.manifest.metrics if summary else None,
            "heldout_accuracy": heldout.manifest.metrics["heldout_accuracy"] if heldout else None,
            "recommended": heldout.manifest.metrics["recommended"] if heldout else None,
            "report": str(report_file(report.node)) if report else None,
            "settings": settings,
        }
    )


def _print_outcomes(outcomes: list[Outcome], dry_run: bool) -> None:
    from rmlab.commands.printing import print_evaluation, print_heldout, print_stages

    judged = any(o.node.stage in (EVAL_RM.name, HELDOUT.name) for o in outcomes)
    if dry_run or len({o.node.stage for o in outcomes}) == 1 or not judged:
        print_stages(outcomes)
    for outcome in outcomes:
        stage, artifact = outcome.node.stage, outcome.artifact
        if stage == EVAL_RM.name and artifact and not _of_two(outcomes, artifact):
            print_evaluation(artifact)
        if stage == HELDOUT.name and artifact:
            print_heldout(artifact)
        if stage == REPORT.name and not dry_run:
            say(f"report: {report_file(outcome.node)}")


def _of_two(outcomes: list[Outcome], evaluation: Artifact) -> bool:
    """True if prompts have two answers, so that best-of-N says no more than held-out accuracy."""
    chosen = evaluation.manifest.metrics["best_of_n"][evaluation.manifest.metrics["chosen"]]
    return chosen["n"] <= 2 and any(o.node.stage == HELDOUT.name for o in outcomes)


def report_file(node: Node) -> Path:
    return node.folder / "report.html"
