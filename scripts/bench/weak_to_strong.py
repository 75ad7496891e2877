"""How much of the gap to its ceiling a student recovers, for each set-up of an embedding set.

    python scripts/bench/weak_to_strong.py SET --out DIR [--seeds 0,1] [--all-setups] [--also set.policy=sft]

Runs the cells of the finding weak_to_strong (what a sweep of DIR has already is not run again) and prints for
either student the mean of teacher, student and ceiling, best of all test responses in standard deviations of
the golden reward, the teacher's accuracy on the comparisons it answers, and the performance gap recovered,
(student - teacher) / (ceiling - teacher), with a 95 % interval over test prompts (each the mean over seeds).
Where the interval of ceiling less teacher holds 0, the ratio has none.
"""

from __future__ import annotations

import argparse

import numpy as np

from rmlab.commands.run import command_line
from rmlab.metrics.group_mean import gap_recovered
from rmlab.metrics.intervals import Resamples
from rmlab.models.compute import available_cores
from rmlab.pipeline.plan import in_order
from rmlab.pipeline.run import run_nodes
from rmlab.study.finding import load_findings
from rmlab.study.plan import plan_study
from rmlab.study.values import CellValues

NAME = "weak_to_strong"
HEADS = {"linear": ("linear student", "linear ceiling"), "MLP": ("MLP student", "MLP ceiling")}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("set")
    parser.add_argument("--out", required=True, help="folder of artifacts")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument(
        "--all-setups", action="store_true", help="every policy, reward and embedder of the set"
    )
    parser.add_argument("--also", nargs="*", default=[], help="overrides of the data, such as set.policy=sft")
    parser.add_argument("--workers", type=int, default=available_cores())
    args = parser.parse_args()
    overrides = ["experiment=embedding_set", f"input={args.set}", f"out={args.out}", f"seed={args.seeds}"]
    findings = load_findings([NAME])
    node = plan_study(findings, [*overrides, *args.also], args.workers, all_setups=args.all_setups)
    sweep = node.inputs["sweep"]
    run_nodes(in_order(sweep), command_line())
    made = sweep.open()
    values = CellValues(made.read("results").to_pandas(), made.read("cell_prompts").to_pandas())
    show(node.config["findings"][NAME]["members"], values)


def show(members: list[dict], values: CellValues) -> None:
    """members: as a study's node describes them."""
    draws = Resamples.draw(values.n_prompts, np.random.default_rng(0), 2000)
    print("| set-up | student | teacher | student's | ceiling | teacher's accuracy | gap recovered |")
    print("|---|---|---|---|---|---|---|")
    for setup in dict.fromkeys(m["setup"] for m in members):
        cells: dict[str, list[str]] = {}
        for m in members:
            if m["setup"] == setup:
                cells.setdefault(m["axes"]["arm"], []).append(m["cell"])
        for name, (student, ceiling) in HEADS.items():
            weak, strong, best = (_mean(values, cells[arm]) for arm in ("teacher", student, ceiling))
            ratio, low, high = gap_recovered(weak, strong, best, draws)
            accuracy = 1 - np.mean([values.column(cell, "error_rate") for cell in cells[student]])
            numbers = " | ".join(f"{np.nanmean(v):.3f}" for v in (weak, strong, best))
            shown = (
                f"{ratio:.2f} [{low:.2f}, {high:.2f}]" if np.isfinite(low) else f"{ratio:.2f}, no interval"
            )
            print(f"| {setup} | {name} | {numbers} | {accuracy:.3f} | {shown} |")


def _mean(values: CellValues, cells: list[str]) -> np.ndarray:
    """[P], over seeds."""
    return np.mean([values.of(cell, "best_of_largest") for cell in cells], axis=0)


if __name__ == "__main__":
    main()
