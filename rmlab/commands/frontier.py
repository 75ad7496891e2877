"""rmlab frontier: golden reward over KL for policies that need no training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rmlab.commands.run import command_line
from rmlab.evaluation.frontier import METHODS
from rmlab.pipeline.costs import costs_of, wording
from rmlab.pipeline.foresee import foresee
from rmlab.pipeline.plan import in_order, load_arms, plan
from rmlab.pipeline.problems import Problems, gathering
from rmlab.pipeline.run import Outcome, run_nodes
from rmlab.pipeline.stages import FRONTIER
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
        "report": str(made.path / "frontier.html"),
    }


def _print(made: Artifact) -> None:
    """Prints the tilts and the best of the largest N of each reward, and the over-optimisation scores."""
    golden, reference = made.manifest.metrics["golden"], made.manifest.metrics["reference"]
    rows = [r for r in made.read("frontier").to_pylist() if not r["is_half"] and r["n"] != 1]
    scores = {(r["arm"], r["kind"], r["method"]): r for r in made.read("overoptimisation").to_pylist()}
    table = []
    for row in rows:
        if row["method"] == "soft_best_of_n":
            continue
        parameter = f"beta {row['beta']:g}" if row["method"] == "tilt" else f"N {row['n']}"
        name = row["arm"] if row["kind"] == "head" else f"({row['arm']})"
        table.append(
            (
                name, METHODS[row["method"]], parameter, f"{row['kl']:.2f}", f"{row['golden']:.3f}",
                f"{row['golden_low']:.3f} to {row['golden_high']:.3f}", f"{row['proxy'] - row['proxy_mean']:+.2f}",
                f"{row['effective_size']:.0f}", "" if row["is_trusted"] else "too few samples",
            )
        )  # fmt: skip
    columns = ("reward", "method", "at", "KL", golden, "95% interval", "own gain", "samples", "trust")
    first = rows[0]
    say_table(columns, table, f"reference: {reference}; test prompts: {first['n_prompts']}; samples: {first['k']}")
    told = [(r["arm"], METHODS[m], _gamma(r), f"{r['kl']:.2f}") for (_, _, m), r in scores.items()]
    say_table(("reward", "method", "gamma", "up to KL"), told, "over-optimisation: 0 keeps what it promises")
    say(f"in brackets: golden rewards; {golden} of the reference: {first['golden_mean']:.3f}")


def _gamma(row: dict[str, Any]) -> str:
    if math.isnan(row["gamma"]):
        return "undefined"
    ends = "" if math.isnan(row["low"]) else f" [{row['low']:.2f}, {row['high']:.2f}]"
    return f"{row['gamma']:.2f}{ends}"
