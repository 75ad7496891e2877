"""rmlab frontier: golden reward over KL for policies that need no training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rmlab.commands.run import command_line
from rmlab.evaluation.frontier import ENOUGH, METHODS
from rmlab.pipeline.costs import costs_of, wording
from rmlab.pipeline.foresee import foresee
from rmlab.pipeline.plan import in_order, load_arms, plan
from rmlab.pipeline.problems import Problems, gathering
from rmlab.pipeline.run import Outcome, run_nodes
from rmlab.pipeline.stages import FRONTIER
from rmlab.stages.frontier import FILE
from rmlab.storage.artifact import Artifact
from rmlab.storage.files import plain
from rmlab.terminal import note, say, say_json, say_table


def frontier_command(
    overrides: Sequence[str], dry_run: bool, as_json: bool, force: bool, config_dir: Path | None
) -> None:
    """Makes the frontier of an experiment, and first what it reads if that is missing.

    force: measures again, and fits no head anew.
    """
    with gathering() as problems:
        nodes = plan(load_arms(overrides, config_dir), asked=FRONTIER)
        problems.raise_all()  # an arm that cannot be planned has no nodes
        [last] = [node for node in nodes if node.stage == FRONTIER.name]
        before = [node for node in in_order(last) if node is not last]
        costs = costs_of(foresee(before, problems), problems)
        foresee([last], problems, force=force)
    if dry_run:
        outcomes = [Outcome.expected(node, force and node is last) for node in [*before, last]]
    else:
        problems.raise_all()
        note(*problems.notes)
        outcomes = run_nodes(before, command_line())
        outcomes += run_nodes([last], command_line(), force=force)
    made = outcomes[-1].artifact
    if as_json:
        say_json(plain(_document(outcomes, made, problems, costs)))
    elif dry_run or made is None:
        from rmlab.commands.printing import print_stages

        print_stages(outcomes)
        if any(o.state == "planned" for o in outcomes):
            say(wording(costs))
    else:
        _print(made)
    problems.raise_all()


def _document(
    outcomes: Sequence[Outcome], made: Artifact | None, problems: Problems, costs: dict[str, Any]
) -> dict[str, Any]:
    found: dict[str, Any] = {"stages": [o.to_json() for o in outcomes]}
    if made is None:
        return found | {"problems": problems.to_json(), "costs": costs}
    return found | {
        "reference": made.manifest.metrics["reference"],
        "golden": made.manifest.metrics["golden"],
        "frontier": made.read("frontier").to_pylist(),
        "overoptimisation": made.read("overoptimisation").to_pylist(),
        "report": str(made.path / FILE),
    }


def _print(made: Artifact) -> None:
    """Prints the trusted tilts of each reward, and the over-optimisation scores."""
    golden, reference = made.manifest.metrics["golden"], made.manifest.metrics["reference"]
    every = [r for r in made.read("frontier").to_pylist() if not r["is_half"]]
    first = every[0]
    columns = ("tilt by", "beta", "KL", golden, "95% interval", "gain", "promised", "carried by")
    table = [_cells(row) for row in every if row["method"] == "tilt" and row["is_trusted"]]
    extent = f"reference: {reference}; {first['n_prompts']} test prompts, {first['k']} samples each"
    say_table(columns, table, f"{extent}, on which {golden} has mean {first['golden']:.3f}")
    scores: dict[str, dict[str, str]] = {}
    for row in made.read("overoptimisation").to_pylist():
        scores.setdefault(_name(row), {})[row["method"]] = _gamma(row)
    told = [(name, *(of.get(method, "-") for method in METHODS)) for name, of in scores.items()]
    say_table(("gamma of", *METHODS.values()), told, "over-optimisation, 0: gives all that it promises")
    say("in brackets: golden rewards; gains over the reference are in deviations of its samples")
    if left := sum(not row["is_trusted"] for row in every):
        say(f"not trusted, as fewer than {ENOUGH:g} samples carry them: {left} of {len(every)} policies")
    if reference != "exact":
        say(f"reference: {reference}; KL is that from what drew the samples, not from the whole model")
    say(f"report: {made.path / FILE}")


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    numbers = (f"{row['beta']:g}", f"{row['kl']:.2f}", f"{row['golden']:.3f}")
    ends = "-" if math.isnan(row["golden_low"]) else f"{row['golden_low']:.3f} to {row['golden_high']:.3f}"
    gains = ("-" if math.isnan(x) else f"{x:+.2f}" for x in (row["golden_gain"], row["proxy_gain"]))
    return (_name(row), *numbers, ends, *gains, f"{row['effective_size']:.0f}")


def _name(row: dict[str, Any]) -> str:
    return str(row["arm"]) if row["kind"] == "head" else f"({row['arm']})"


def _gamma(row: dict[str, Any]) -> str:
    if math.isnan(row["gamma"]):
        return "undefined"
    ends = "" if math.isnan(row["low"]) else f" [{row['low']:.2f}, {row['high']:.2f}]"
    return f"{row['gamma']:.2f}{ends}"
