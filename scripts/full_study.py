"""The study at full scale: what would run, what it would cost, and running it.

    python scripts/full_study.py --dry-run                 stages and cells, GPU-hours, core-hours, disk
    python scripts/full_study.py --input FOLDER            runs all of it, one policy and task after another
    python scripts/full_study.py --input FOLDER --only gemma-2b/hh_harmless

FOLDER has hh_harmless/ and hh_helpful/, made by scripts/hh_tasks.py. What is done is skipped, what was begun
goes on. conf/full_study.yaml holds the lists; --plan FILE takes another.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import yaml
from full_study_costs import Costs, costs
from full_study_plan import Plan, Setup

from rmlab.errors import OK, PARTIAL
from rmlab.processes import run as run_program

PLAN = Path(__file__).parents[1] / "conf" / "full_study.yaml"


def read_plan(path: Path) -> Plan:
    with path.open(encoding="utf-8") as file:
        return Plan.of(yaml.safe_load(file))


def show(plan: Plan, setups: list[Setup]) -> None:
    for setup in setups:
        print(f"\n{setup.name}: {setup.n_cells:,} cells, {hours(costs(plan, setup))}")
        for command in setup.commands("FOLDER"):
            print("  rmlab " + " ".join(command))
    total = Costs.total([costs(plan, setup) for setup in setups])
    cells = sum(setup.n_cells for setup in setups)
    print(f"\n{len(setups)} generations, {cells:,} heads: {hours(total)}")
    print(f"GPU-hours are an estimate from {plan.supposed['tflops']:.0f} TFLOP/s and the shares in the plan.")
    if plan.measured_on is None:
        print("Core-hours: no cell was measured; run python scripts/bench/full_cells.py")
    elif total.core_hours is None:
        print("Core-hours: not every head and budget was measured; run python scripts/bench/full_cells.py")
    else:
        print(f"Core-hours are projected from cells of the true shape, measured {plan.measured_on}.")
        print("The study's own heads took about 6,000 core-hours.")
    print(json.dumps({"generations": len(setups), "cells": cells, **total._asdict()}))


def hours(found: Costs) -> str:
    core = "core-hours unknown" if found.core_hours is None else f"{found.core_hours:,.0f} core-hours"
    return f"{found.gpu_hours:,.0f} GPU-hours, {core}, {found.disk_gb:,.0f} GB"


def run(setups: list[Setup], folder: Path) -> int:
    """Cells that failed do not keep the others from being run; the exit code says so at the end."""
    partial = OK
    for setup in setups:
        for command in setup.commands(str(folder / setup.task)):
            print("rmlab " + " ".join(command), flush=True)
            code = run_program([sys.executable, "-m", "rmlab", *command]).returncode
            if code == PARTIAL:
                print(f"{setup.name}: some cells failed; going on", file=sys.stderr)
                partial = PARTIAL
            elif code:
                print(f"{setup.name} stopped; run this again to go on", file=sys.stderr)
                return code
    return partial


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--dry-run", action="store_true", help="show it, and do nothing")
    parser.add_argument("--input", type=Path, help="folder with a folder for each task")
    parser.add_argument("--only", default="", help="policy/task, separated by commas")
    parser.add_argument("--plan", type=Path, default=PLAN)
    given = parser.parse_args()
    plan = read_plan(given.plan)
    wanted = set(filter(None, given.only.split(",")))
    if unknown := wanted - {setup.name for setup in plan.setups}:
        parser.error(f"no {min(unknown)}; known: {', '.join(setup.name for setup in plan.setups)}")
    setups = [setup for setup in plan.setups if not wanted or setup.name in wanted]
    if given.dry_run:
        show(plan, setups)
        return 0
    if given.input is None:
        parser.error("give --input FOLDER, or --dry-run")
    for task in sorted({setup.task for setup in setups}):
        if not (given.input / task / "prompts.jsonl").is_file():
            parser.error(
                f"{given.input / task / 'prompts.jsonl'} does not exist; make it: scripts/hh_tasks.py"
            )
    return run(setups, given.input)


if __name__ == "__main__":
    sys.exit(main())
